"""Will the disks hold what the settings promise? Pure arithmetic on sizes in GiB.

Base backups are compressed; what that makes of them nobody knows before the data is there, so they
count here as if nothing of them could be.
"""

import math
from dataclasses import dataclass
from datetime import timedelta

from settings.retention import RecoveryWindow

# What archived WAL takes of what was written: assumed, on the careful side, and stated in
# docs/known-limits.md; `ops capacity` measures it.
_ARCHIVED = {"none": 1.0, "lz4": 0.6, "zstd": 0.5, "gzip": 0.5, "xz": 0.5}
# In-place recovery sets the old data directory aside until the new one is proven.
POSTGRES_COPIES = 2
# Above it DiskAlmostFull rings (host/monitoring/alerts.yml), so no disk is planned to stay there.
QUIET_SHARE = 0.85
# What a restore drill leaves free beside one more backup (host/restore_drill/decision.py).
_DRILL_FREE_SHARE = 0.05
_DAY = timedelta(days=1)


def copies_kept(window: RecoveryWindow, interval: timedelta) -> int:
    """Full backups on disk at the worst moment.

    The window's own, one older that its first day needs as a start, and the one being written.
    """
    return math.ceil(window.length / interval) + 2


@dataclass(frozen=True)
class Demand:
    """What a Barman disk is asked to hold. `daily_wal_gib` is WAL as written, `interval` the
    longest time between two backups."""

    database_gib: int
    daily_wal_gib: int
    compression: str
    window: RecoveryWindow
    interval: timedelta

    @property
    def copies(self) -> int:
        return copies_kept(self.window, self.interval)

    @property
    def wal_gib(self) -> float:
        """Archived WAL, which reaches back as far as the oldest backup."""
        return self.daily_wal_gib * _ARCHIVED[self.compression] * self.copies * self._interval_days

    @property
    def gib(self) -> int:
        """All of it, once the window is full."""
        return math.ceil(self.database_gib * self.copies + self.wal_gib)

    @property
    def with_drill_gib(self) -> int:
        """The same with room for restore drills: one more copy, a GiB of WAL for its replay, and
        what must stay free."""
        return math.ceil((self.gib + self.database_gib + 1) / (1 - _DRILL_FREE_SHARE))

    def full_after(self, disk_gib: int) -> timedelta | None:
        """How long a disk of this size lasts from the first backup on; None for as long as the
        estimates hold."""
        for done in range(1, self.copies + 1):
            held = self.database_gib * done + self.wal_gib * done / self.copies
            if held > disk_gib:
                return self.interval * (done - 1)
        return None

    @property
    def _interval_days(self) -> float:
        return self.interval / _DAY


def largest_database(disk_gib: int, demand: Demand) -> int:
    """GiB of database whose backups just fit a Barman disk of `disk_gib` beside the same WAL."""
    return max(0, int((disk_gib - demand.wal_gib) / demand.copies))


def require_room(*, demand: Demand, postgres_disk_gib: int, barman_disk_gib: int) -> None:
    """Raises ValueError, naming the key to change, when a disk is too small."""
    database_gib = demand.database_gib
    if (needed := POSTGRES_COPIES * database_gib) > postgres_disk_gib:
        raise ValueError(
            f"postgresDiskGb = {postgres_disk_gib}: too small for expectedDatabaseGb = "
            f"{database_gib}: recovery keeps the old data beside the new; at least {needed}"
        )
    lasts = demand.full_after(barman_disk_gib)
    if lasts is not None:
        raise ValueError(
            f"barmanDiskGb = {barman_disk_gib}: too small for expectedDatabaseGb = {database_gib} "
            f"with {demand.window.text}: {demand.copies} full backups and their WAL "
            f"need {demand.gib} if nothing of them can be compressed, and it would be full after "
            f"{_days(lasts)}; enlarge barmanDiskGb or shorten retention"
        )


def warnings(demand: Demand, barman_disk_gib: int) -> list[str]:
    """What will not work well on a disk that is just large enough, a sentence each."""
    found = []
    if demand.gib > QUIET_SHARE * barman_disk_gib:
        found.append(
            f"barmanDiskGb {barman_disk_gib}: will be {100 * demand.gib / barman_disk_gib:.0f} % "
            f"full once the window is, and alerts begin at {100 * QUIET_SHARE:.0f} %; "
            f"{math.ceil(demand.gib / QUIET_SHARE)} keeps below."
        )
    if demand.with_drill_gib > barman_disk_gib:
        found.append(
            f"barmanDiskGb {barman_disk_gib}: no room for restore drills once the window is full; "
            f"they need {demand.with_drill_gib}."
        )
    return found


def _days(time: timedelta) -> str:
    days = time / _DAY
    return f"{days:.0f} days" if days >= 2 else f"{days * 24:.0f} h"
