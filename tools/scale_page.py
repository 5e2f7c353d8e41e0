"""docs/scale.md, reckoned from Azure's limits and from measured rates:
`python -m tools.scale_page >docs/scale.md`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from settings.capacity import QUIET_SHARE, Demand
from settings.forecast import tier
from settings.retention import RecoveryWindow
from settings.vm_sizes import VM_SIZES, VmSize

# What zstd leaves of the bytes; docs/decisions/0019-base-backups-compressed.md, JSON documents with
# indexes, and random bytes, which are the worst that there is.
JSON, RANDOM = 0.22, 0.71
# How much of the database one process of PostgreSQL's reads, hashes and compresses (the same).
SENDER_MB_PER_S = 218.0
# For a segment of 16 MiB; docs/performance.md, replay, ours, the slowest median of its sets.
REPLAY_S_PER_SEGMENT = 0.26
REPLAY_MB_PER_S = 16 * 1.048576 / REPLAY_S_PER_SEGMENT
# What a recovery takes besides: plan, checks, swap, start (`python -m bench restore`).
FIXED = timedelta(seconds=40)
# Assumed, to have something to reckon with: what is written in a day, of the database's size.
DAILY_WAL = 0.1
SNAPSHOT_EVERY = timedelta(hours=4)
WINDOW = RecoveryWindow(length=timedelta(days=7), text="7 days")
DAY = timedelta(days=1)
GIB = 1.073741824
SIZES_GB = (10, 100, 1000, 10000)
LARGEST_DISK_GIB = 32767
# Pulumi.yaml: postgresDiskGb, barmanDiskGb.
DEFAULT_DISKS_GIB = (1100, 250)

HEAD = f"""\
# Scale: what each size of database takes, and where one Barman machine ends

Written by `make docs` (tools/scale_page.py) from the limits of Azure's sizes (`settings/`, restated
in [azure-assumptions.md](azure-assumptions.md)) and from what was measured on the lab. **Nothing on
this page was timed on Azure.** Each time is that of the slowest part: the disks, the network, and

- what compression leaves: {JSON:.0%} of JSON documents with indexes, {RANDOM:.0%} of random bytes;
  {SENDER_MB_PER_S:.0f} MB/s of the database pass through the one process that reads, hashes and
  compresses it ([decision 19](decisions/0019-base-backups-compressed.md));
- replay, at {REPLAY_MB_PER_S:.0f} MB of WAL a second ({REPLAY_S_PER_SEGMENT} s for each segment,
  [performance.md](performance.md)). It is one process, and much slower where the data does not fit
  into memory: measure yours with a drill (`python -m ops drills`);
- {FIXED.seconds} s for whatever a recovery does besides (`python -m bench restore`).

**Assumed**: {DAILY_WAL:.0%} of the database is written to WAL each day; a full backup each night,
kept for 7 days; a recovery at the worst moment, just before the next backup; data disks that are
large enough, no smaller than the defaults, at the throughput of their tier.
"""
COLUMNS = (
    "database",
    *("full backup", "restore", "replay of a day", "recovery", "from a snapshot"),
    "Barman's disk",
)
NEXT = """
- **A larger machine first**: a restore ends at the MB/s of the slower machine, which are those of
  its size before they are those of its disk. A backup ends at the one process that compresses.
- **Local snapshots next** ([snapshots.md](snapshots.md)): they take the restore out of the recovery
  that most operators ever need, the one from a mistake. They do nothing for a lost disk.
- **A Barman machine for each group of servers**: a stack has one PostgreSQL server and one Barman,
  and stacks share nothing, so a second server is a second stack.
- **Beyond the largest database of the last table**, nightly full backups do not fit any more. What
  would come next is not built: block-level incrementals (a night then moves what has changed, a
  recovery reads the chain), snapshots of Azure's disks, or copies in object storage.
"""


@dataclass(frozen=True)
class Machines:
    """PostgreSQL's and Barman's."""

    postgres: VmSize
    barman: VmSize

    @property
    def title(self) -> str:
        return f"PostgreSQL on {self.postgres.name}, Barman on {self.barman.name}"


PAIRS = tuple(
    Machines(VM_SIZES[f"Standard_{one}"], VM_SIZES[f"Standard_{other}"])
    for one, other in (("DS3_v2", "D2s_v3"), ("D8ds_v5", "D4ds_v5"), ("E16s_v5", "D16s_v5"))
)


@dataclass(frozen=True)
class Database:
    """A database of `gb` (10^9 bytes), of which compression leaves `packed`, on these machines."""

    gb: float
    packed: float
    machines: Machines

    @property
    def barman_disk_gib(self) -> float:
        """What the window takes, at the share of the disk at which no alert is raised."""
        demand = Demand(
            database_gib=round(self.gb * self.packed / GIB),
            daily_wal_gib=round(self.gb * DAILY_WAL / GIB),
            compression="zstd",
            window=WINDOW,
            interval=DAY,
        )
        return demand.gib / QUIET_SHARE

    @property
    def _at_postgres(self) -> float:
        # Twice the database, for a recovery keeps the old data.
        needed = 2 * self.gb / GIB / QUIET_SHARE
        disk = _disk_mb_per_s(max(needed, DEFAULT_DISKS_GIB[0]))
        return min(self.machines.postgres.disk_mb_per_s, disk)

    @property
    def _from_barman(self) -> float:
        """MB/s of what is packed, between Barman's disk and PostgreSQL's machine."""
        machines = (self.machines.postgres, self.machines.barman)
        return min(
            self.machines.barman.disk_mb_per_s,
            _disk_mb_per_s(max(self.barman_disk_gib, DEFAULT_DISKS_GIB[1])),
            *(each.network_mbit_per_s / 8 for each in machines),
        )

    @property
    def backup(self) -> timedelta:
        mb = 1000 * self.gb
        read = mb / min(self._at_postgres, SENDER_MB_PER_S)
        return timedelta(seconds=max(read, mb * self.packed / self._from_barman))

    @property
    def restore(self) -> timedelta:
        mb = 1000 * self.gb
        return timedelta(seconds=max(mb / self._at_postgres, mb * self.packed / self._from_barman))

    def replay(self, written_in: timedelta) -> timedelta:
        return timedelta(seconds=1000 * self.gb * DAILY_WAL * (written_in / DAY) / REPLAY_MB_PER_S)

    def cells(self) -> Sequence[str]:
        """A line of the table."""
        day = self.replay(DAY)
        return (
            _size(self.gb),
            *(_time(each) for each in (self.backup, self.restore, day)),
            _time(FIXED + self.restore + day),
            _time(FIXED + self.replay(SNAPSHOT_EVERY)),
            _size(self.barman_disk_gib * GIB) + (", more than one holds" * self.too_large),
        )

    @property
    def too_large(self) -> bool:
        return self.barman_disk_gib > LARGEST_DISK_GIB


def _disk_mb_per_s(gib: float) -> float:
    return tier(min(round(gib), LARGEST_DISK_GIB), "Premium_LRS").mb_per_s or 0


def _time(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172800 else f"{seconds / 86400:.1f} d"


def _size(gb: float) -> str:
    return f"{gb:.0f} GB" if gb < 1000 else f"{gb / 1000:.3g} TB"


def largest(machines: Machines, packed: float, within: timedelta, *, restored: bool) -> float:
    """The largest database, in GB to two digits, whose backup, or whose recovery where `restored`,
    takes no longer."""
    fitting = 0.0
    for tenths in range(10, 1000):
        gb = 10 ** (tenths / 20)
        each = Database(gb, packed, machines)
        took = FIXED + each.restore + each.replay(DAY) if restored else each.backup
        if each.too_large or took > within:
            break
        fitting = gb
    return float(f"{fitting:.2g}")


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---", *("---:" for _ in columns[1:])], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page() -> str:
    """All of it."""
    parts = [HEAD]
    for machines in PAIRS:
        parts.append(f"\n## {machines.title}\n")
        for packed, data in ((JSON, "JSON documents"), (RANDOM, "Random bytes")):
            rows = (Database(gb, packed, machines).cells() for gb in SIZES_GB)
            parts += [f"\n{data}:\n\n", _table(COLUMNS, rows)]
    parts.append("\n## Where one Barman machine ends\n\nThe largest database, JSON documents:\n\n")
    limits = (
        ("a backup in 8 hours", timedelta(hours=8), False),
        ("a recovery in an hour", timedelta(hours=1), True),
        ("a recovery in 8 hours", timedelta(hours=8), True),
    )
    rows = (
        (each.title, *(_size(largest(each, JSON, time, restored=r)) for _, time, r in limits))
        for each in PAIRS
    )
    parts += [_table(("machines", *(name for name, _, _ in limits)), rows), NEXT]
    return "".join(parts)


def main() -> None:
    """Print it."""
    print(page(), end="")


if __name__ == "__main__":
    main()
