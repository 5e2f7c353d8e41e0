"""What the chosen sizes will mean in hours and in disk tiers, said at preview. Pure."""

from collections.abc import Sequence
from datetime import timedelta

from components.capacity import WAL_SHARE, copies_kept
from components.retention import RecoveryWindow
from components.vm_sizes import VmSize

_MIB_PER_GIB = 1024
_BITS_PER_BYTE = 8
# Azure bills a managed disk as the smallest tier that holds it: (GiB, number of the tier).
_TIERS = (
    *((4, 1), (8, 2), (16, 3), (32, 4), (64, 6), (128, 10), (256, 15), (512, 20), (1024, 30)),
    *((2048, 40), (4096, 50), (8192, 60), (16384, 70), (32767, 80)),
)


def transfer_mb_per_s(source: VmSize, target: VmSize) -> float:
    """The most that a copy between the data disks of two machines can move: the slowest of both
    disks' and both networks' published limits."""
    network = min(source.network_mbit_per_s, target.network_mbit_per_s) / _BITS_PER_BYTE
    return min(source.disk_mb_per_s, target.disk_mb_per_s, network)


def least_time(database_gib: int, mb_per_s: float) -> timedelta:
    """The least time to move `database_gib` at `mb_per_s` (MB of 10^6 bytes)."""
    return timedelta(seconds=database_gib * _MIB_PER_GIB * 1.048576 / mb_per_s)


def tier(disk_gib: int, sku: str) -> str:
    """The tier Azure bills a disk of this size as, such as P40."""
    letter = "P" if sku.startswith("Premium") else "E"
    return next(f"{letter}{number}" for size, number in _TIERS if disk_gib <= size)


def largest_database(barman_disk_gib: int, window: RecoveryWindow, interval: timedelta) -> int:
    """GiB of database whose backups and WAL just fit the Barman machine's disk."""
    return int(barman_disk_gib / ((1 + WAL_SHARE) * copies_kept(window, interval)))


def sentences(
    *,
    database_gib: int,
    postgres: VmSize,
    barman: VmSize,
    disks_gib: Sequence[int],
    sku: str,
    window: RecoveryWindow,
    interval: timedelta,
) -> list[str]:
    """What an operator should know before agreeing; `disks_gib` is (PostgreSQL's, Barman's)."""
    speed = transfer_mb_per_s(postgres, barman)
    slower = min((postgres, barman), key=lambda size: size.disk_mb_per_s)
    postgres_disk, barman_disk = disks_gib
    return [
        f"A full backup or a restore of {database_gib} GiB takes at least "
        f"{_duration(least_time(database_gib, speed))} ({speed:.0f} MB/s at most, "
        f"{slower.name}); of a full disk of {postgres_disk} GiB, "
        f"{_duration(least_time(postgres_disk, speed))}.",
        f"barmanDiskGb {barman_disk} holds the backups of up to "
        f"{largest_database(barman_disk, window, interval)} GiB with {window.text}.",
        f"Azure bills the data disks as {tier(postgres_disk, sku)} and {tier(barman_disk, sku)}.",
    ]


def _duration(time: timedelta) -> str:
    minutes = time.total_seconds() / 60
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{max(1, round(minutes))} min"
