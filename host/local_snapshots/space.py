"""Which snapshots stay: production's disk comes before all of them. Pure, but for `Disk.now`."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from host.domain.paths import MOUNT_POINT

from .snapshot import Snapshot

# Of the disk. The alert DiskAlmostFull fires when 15 % are free: snapshots are gone by then.
LEAST_FREE = 0.2


@dataclass(frozen=True)
class Disk:
    """The data disk, in bytes."""

    total: int
    free: int

    @classmethod
    def now(cls) -> "Disk":
        """As it is now."""
        seen = os.statvfs(MOUNT_POINT)
        return cls(seen.f_blocks * seen.f_frsize, seen.f_bavail * seen.f_frsize)

    @property
    def short(self) -> bool:
        """Whether snapshots have to go, and none may be taken."""
        return self.free < LEAST_FREE * self.total

    def __str__(self) -> str:
        return f"{self.free / 1e9:.1f} GB of {self.total / 1e9:.1f} GB are free at {MOUNT_POINT}"


def superfluous(snapshots: Sequence[Snapshot], kept: int, disk: Disk) -> list[Snapshot]:
    """Of `snapshots`, oldest first, those that go now: of the scheduled ones all but the newest
    `kept`; and the oldest of all while the disk is short, one at a time."""
    scheduled = [each for each in snapshots if each.scheduled]
    going = scheduled[: max(0, len(scheduled) - kept)]
    if disk.short and not going:
        return list(snapshots[:1])
    return going
