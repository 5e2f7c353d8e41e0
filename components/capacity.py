"""Will the disks hold what the settings promise? Pure arithmetic on sizes in GiB."""

import math
from datetime import timedelta

from components.retention import RecoveryWindow

# Archived WAL between two backups, as a share of the database: an assumption, stated in
# docs/known-limits.md, until the server's own growth can be measured.
WAL_SHARE = 0.2
# In-place recovery sets the old data directory aside until the new one is proven.
POSTGRES_COPIES = 2


def copies_kept(window: RecoveryWindow, interval: timedelta) -> int:
    """Full backups on disk at the worst moment.

    The window's own, one older that its first day needs as a start, and the one being written.
    """
    return math.ceil(window.length / interval) + 2


def barman_gib(database_gib: int, window: RecoveryWindow, interval: timedelta) -> int:
    """Disk that `database_gib` of data needs on the Barman machine, uncompressed."""
    return math.ceil(database_gib * (1 + WAL_SHARE) * copies_kept(window, interval))


def require_room(
    *,
    database_gib: int,
    postgres_disk_gib: int,
    barman_disk_gib: int,
    window: RecoveryWindow,
    interval: timedelta,
) -> None:
    """Raises ValueError, naming the key to change, when a disk is too small."""
    if (needed := POSTGRES_COPIES * database_gib) > postgres_disk_gib:
        raise ValueError(
            f"postgresDiskGb = {postgres_disk_gib}: too small for expectedDatabaseGb = "
            f"{database_gib}: recovery keeps the old data beside the new; at least {needed}"
        )
    if (needed := barman_gib(database_gib, window, interval)) > barman_disk_gib:
        raise ValueError(
            f"barmanDiskGb = {barman_disk_gib}: too small for expectedDatabaseGb = {database_gib} "
            f"with {window.text}: {copies_kept(window, interval)} full backups and their WAL "
            f"need at least {needed}; enlarge barmanDiskGb or shorten retention"
        )
