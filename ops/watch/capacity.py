"""`ops capacity`: when either data disk will be full by measured growth, and what to change.

Measured from what is there anyway: Barman's catalogue, the file systems, the server's own sizes.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from host.domain.wal import LAST_NAME
from ops.archive import catalogue
from ops.reach import barman, glance, postgres
from ops.reach.outputs import MachineOutputs
from ops.reach.ssh import CommandFailed, Machine, Site
from ops.screen import moment, size
from ops.watch.capacity_trend import (
    Sized,
    barman_content,
    growth_per_day,
    size_that_lasts,
    wal_per_day,
    when_full,
)

# A disk that lasts less is worth an exit code.
SOON = timedelta(days=30)
_SIZES = """
SELECT json_build_object(
  'databases', (SELECT sum(pg_database_size(oid)) FROM pg_database),
  'wal', (SELECT sum(size) FROM pg_ls_waldir()))
"""


class _Model(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class DiskCapacity(_Model):
    """The file system at /data of one machine."""

    machine: str
    setting: str
    """What makes it larger: postgresDiskGb or barmanDiskGb."""
    total_bytes: int
    used_bytes: int
    free_bytes: int
    full_at: datetime | None
    """When it will be full if growth goes on as measured; null within the next three years, or
    while there is too little to measure by."""
    advice: list[str]
    """What to change, a sentence each; empty when nothing has to."""


class Capacity(_Model):
    """What the data disks hold, how that grows, and how long they will do."""

    at: datetime
    database_bytes: int | None
    """All databases, by PostgreSQL; null while it does not answer."""
    wal_directory_bytes: int | None
    """WAL on PostgreSQL's own disk, kept for Barman or not."""
    backups: int
    """Complete backups that Barman has."""
    copies_kept: int
    """As many as it will have once the window is full, the one being written included."""
    backup_bytes: int | None
    """What the newest one takes on Barman's disk."""
    measured_days: float
    """From the oldest complete backup to the newest."""
    growth_bytes_per_day: float | None
    """Of the database, by what its backups hold; null with less than two days to measure by."""
    archived_wal_bytes_per_day: float | None
    """As Barman stores it, compressed; null with less than six hours to measure by."""
    disks: list[DiskCapacity]
    """PostgreSQL's, then Barman's."""

    @property
    def exit_code(self) -> int:
        """1 when a disk will be full within 30 days."""
        return int(any(d.full_at and d.full_at - self.at < SOON for d in self.disks))


def read(site: Site) -> Capacity:
    """Ask both machines. Raises OperatorError if one cannot be reached."""
    with ThreadPoolExecutor() as pool:
        disks = [pool.submit(_disk, machine) for machine in (site.postgres, site.barman)]
        listed = pool.submit(barman.ask, site.barman, "list-backups", _server(site))
        known = pool.submit(_restored_sizes, site)
        sizes = _server_sizes(site.postgres)
        postgres_disk, barman_disk = (each.result() for each in disks)
    return judge(
        datetime.now(UTC),
        sizes,
        sized(listed.result()[_server(site)], known.result()),
        [(site.outputs.postgres, postgres_disk), (site.outputs.barman, barman_disk)],
        copies=site.outputs.backup.copies_kept,
        interval=timedelta(hours=site.outputs.backup.interval_hours),
    )


def _server(site: Site) -> str:
    return site.outputs.backup.server_name


def _restored_sizes(site: Site) -> dict[str, int]:
    home = site.outputs.barman.data_directory
    # Of WAL, nothing is asked.
    held = catalogue.read(site.barman, home, _server(site), since=LAST_NAME)
    return {backup.backup_id: backup.restored_size or 0 for backup in held.backups}


def _disk(machine: Machine) -> dict[str, int]:
    return glance.take(machine).disk.model_dump()


def _server_sizes(machine: Machine) -> dict[str, int | None]:
    try:
        return json.loads(postgres.query(machine, _SIZES))
    except CommandFailed:
        return {"databases": None, "wal": None}


def sized(listed: Sequence[dict[str, Any]], restored: Mapping[str, int]) -> list[Sized]:
    """The complete backups of `barman list-backups`, oldest first, with what each takes once it is
    `restored`. `size_bytes` there includes the WAL that a backup needs, `wal_size_bytes` is WAL
    from then to the next backup."""
    done = [item for item in listed if item["status"] == "DONE" and restored.get(item["backup_id"])]
    return [
        Sized(
            ended=datetime.fromtimestamp(int(item["end_time_timestamp"]), UTC),
            size=int(item["size_bytes"]),
            wal=int(item["wal_size_bytes"]),
            database=restored[item["backup_id"]],
        )
        for item in sorted(done, key=lambda item: item["backup_id"])
    ]


def judge(
    now: datetime,
    sizes: dict[str, int | None],
    backups: Sequence[Sized],
    disks: Sequence[tuple[MachineOutputs, dict[str, int]]],
    *,
    copies: int,
    interval: timedelta,
) -> Capacity:
    """The forecast from what was measured; `disks` are PostgreSQL's and Barman's."""
    growth, wal = growth_per_day(backups), wal_per_day(backups, now)
    held = [backup.size for backup in backups]
    database = sizes["databases"]
    newest = held[-1] if held else None

    def of_postgres(days: float) -> float:
        return (growth or 0.0) * days

    def of_barman(days: float) -> float:
        return barman_content(days, backups, growth or 0.0, wal or 0.0, copies, interval)

    found = []
    for (outputs, disk), setting, content, needs in (
        (disks[0], "postgresDiskGb", of_postgres, growth is not None),
        (disks[1], "barmanDiskGb", of_barman, bool(backups) and wal is not None),
    ):
        full = when_full(now, disk["free_bytes"], content) if needs else None
        found.append(
            DiskCapacity(
                machine=outputs.name,
                setting=setting,
                full_at=full,
                advice=_advice(full, outputs, disk, setting, content),
                **{key: disk[key] for key in ("total_bytes", "used_bytes", "free_bytes")},
            )
        )
    if database is not None and 2 * database > disks[0][1]["total_bytes"]:
        found[0].advice.append(
            "There is no room for a recovery to keep the old data directory beside the new one: "
            f"set postgresDiskGb to {_gib(2.5 * database)} or more, then pulumi up."
        )
    return Capacity(
        at=now,
        database_bytes=database,
        wal_directory_bytes=sizes["wal"],
        backups=len(backups),
        copies_kept=copies,
        backup_bytes=newest,
        measured_days=round((backups[-1].ended - backups[0].ended) / timedelta(days=1), 2)
        if backups
        else 0.0,
        growth_bytes_per_day=growth,
        archived_wal_bytes_per_day=wal,
        disks=found,
    )


def _advice(
    full: datetime | None,
    outputs: MachineOutputs,
    disk: dict[str, int],
    setting: str,
    content: Any,
) -> list[str]:
    if full is None:
        return []
    enough = _gib(size_that_lasts(disk["used_bytes"], content))
    advice = [
        f"Set {setting} to {enough} or more, which lasts for a year, then pulumi up: it grows "
        f"online. It is {outputs.data_disk_gb} now."
    ]
    if setting == "barmanDiskGb":
        advice.append("Or shorten retention, or back up less often.")
    return advice


def _gib(count: float) -> int:
    return int(count / 2**30) + 1


def show(found: Capacity, console: Console) -> None:
    """For people: the disks, how they grow, what to change."""
    table = Table("machine", "/data", "used", "free", "full")
    early = found.growth_bytes_per_day is None or found.archived_wal_bytes_per_day is None
    for disk in found.disks:
        nothing = "too early to say" if early else "not in three years"
        full = moment(disk.full_at) if disk.full_at else nothing
        table.add_row(
            disk.machine, size(disk.total_bytes), size(disk.used_bytes), size(disk.free_bytes), full
        )
    console.print(table)
    lines = [
        f"databases {size(found.database_bytes)}, "
        f"WAL beside them {size(found.wal_directory_bytes)}",
        f"{found.backups} of {found.copies_kept} backups, the newest stored as "
        f"{size(found.backup_bytes)}",
        f"growth {_rate(found.growth_bytes_per_day)}, archived WAL "
        f"{_rate(found.archived_wal_bytes_per_day)}, measured over {found.measured_days} days",
    ]
    if early:
        lines.append("A date needs backups over two days or more.")
    for disk in found.disks:
        lines += disk.advice
    console.print("\n".join(lines), markup=False, highlight=False)


def _rate(per_day: float | None) -> str:
    return "unknown" if per_day is None else f"{size(per_day)} a day"
