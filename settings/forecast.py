"""What the chosen sizes will mean in hours, gigabytes and disk tiers, said at preview. Pure."""

from dataclasses import dataclass
from datetime import timedelta

from settings.capacity import Demand, largest_database
from settings.vm_sizes import VmSize

_MIB_PER_GIB = 1024
_BITS_PER_BYTE = 8
# Azure bills a managed disk as the smallest tier that holds it: (GiB, number of the tier, MB/s of
# Premium SSD). Source: the page "Azure managed disk types", restated in docs/azure-assumptions.md.
_TIERS = (
    *((4, 1, 25), (8, 2, 25), (16, 3, 25), (32, 4, 25), (64, 6, 50), (128, 10, 100)),
    *((256, 15, 125), (512, 20, 150), (1024, 30, 200), (2048, 40, 250), (4096, 50, 250)),
    *((8192, 60, 500), (16384, 70, 750), (32767, 80, 900)),
)


@dataclass(frozen=True)
class Tier:
    """How Azure bills a disk: by name, at the price of `gib`, however much smaller it is."""

    name: str
    gib: int
    mb_per_s: int | None


def tier(disk_gib: int, sku: str) -> Tier:
    """The tier of a disk of this size and type; throughput is known for Premium SSD alone."""
    premium = sku.startswith("Premium")
    size, number, speed = next(each for each in _TIERS if disk_gib <= each[0])
    return Tier(f"{'P' if premium else 'E'}{number}", size, speed if premium else None)


@dataclass(frozen=True)
class Pair:
    """Both machines' sizes and data disks, GiB."""

    postgres: VmSize
    barman: VmSize
    postgres_disk_gib: int
    barman_disk_gib: int
    sku: str

    @property
    def tiers(self) -> tuple[Tier, Tier]:
        """PostgreSQL's disk's and Barman's."""
        return tier(self.postgres_disk_gib, self.sku), tier(self.barman_disk_gib, self.sku)

    @property
    def bottleneck(self) -> tuple[float, str]:
        """The most MB/s that a copy between the two data disks can move, and what limits it."""
        first, second = self.tiers
        limits = [
            *((size.disk_mb_per_s, size.name) for size in (self.barman, self.postgres)),
            *(
                (size.network_mbit_per_s / _BITS_PER_BYTE, f"the network of {size.name}")
                for size in (self.barman, self.postgres)
            ),
            *((each.mb_per_s, f"a {each.name} disk") for each in (second, first) if each.mb_per_s),
        ]
        return min(limits, key=lambda limit: limit[0])


def least_time(database_gib: int, mb_per_s: float) -> timedelta:
    """The least time to move `database_gib` at `mb_per_s` (MB of 10^6 bytes)."""
    return timedelta(seconds=database_gib * _MIB_PER_GIB * 1.048576 / mb_per_s)


def require_time(demand: Demand, pair: Pair) -> None:
    """Raises ValueError when a backup that cannot be compressed would not end before the next one
    is due."""
    speed, limit = pair.bottleneck
    needed = least_time(demand.database_gib, speed)
    if needed > demand.interval:
        raise ValueError(
            f"backupSchedule: a full backup of expectedDatabaseGb = {demand.database_gib} takes "
            f"{_duration(needed)} if nothing of it can be compressed ({speed:.0f} MB/s, {limit}), "
            f"the next one is due after {_duration(demand.interval)}; back up less often, or take "
            "larger VM sizes or disks"
        )


def drill_warnings(demand: Demand, pair: Pair) -> list[str]:
    """Whether a restore drill can end before the next backup breaks it off, in a sentence."""
    (_, billed), machine = pair.tiers, pair.barman
    speed = min(machine.disk_mb_per_s, billed.mb_per_s or machine.disk_mb_per_s)
    # Read, if nothing of it can be compressed, and written on one disk, then read once more by the
    # checks.
    needed = 3 * least_time(demand.database_gib, speed)
    if needed < demand.interval:
        return []
    return [
        f"A restore drill of {demand.database_gib} GiB takes about {_duration(needed)} on the "
        f"Barman machine ({speed:.0f} MB/s), and the next backup after "
        f"{_duration(demand.interval)} breaks it off: take a larger barmanVmSize."
    ]


def sentences(demand: Demand, pair: Pair) -> list[str]:
    """What an operator should know before agreeing."""
    speed, limit = pair.bottleneck
    disk, full = pair.barman_disk_gib, pair.postgres_disk_gib
    billed = [f"{each.name} (up to {each.gib} GiB cost the same)" for each in pair.tiers]
    return [
        f"A full backup or a restore of {demand.database_gib} GiB takes "
        f"{_duration(least_time(demand.database_gib, speed))} where nothing of it can be "
        f"compressed ({speed:.0f} MB/s at most, {limit}), and less the better it can; of a full "
        f"disk of {full} GiB, {_duration(least_time(full, speed))}.",
        f"barmanDiskGb {disk} will hold up to {demand.gib} GiB once the window is full: "
        f"{demand.copies} full backups, should nothing of them be compressible, and "
        f"{demand.wal_gib:.0f} GiB of WAL. It holds the backups of "
        f"{largest_database(disk, demand)} GiB or more with {demand.window.text}.",
        f"Azure bills the data disks as {billed[0]} and {billed[1]}.",
    ]


def _duration(time: timedelta) -> str:
    minutes = time.total_seconds() / 60
    return f"{minutes / 60:.1f} h" if minutes >= 90 else f"{max(1, round(minutes))} min"
