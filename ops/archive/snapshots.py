"""The local snapshots of PostgreSQL's machine (host/local_snapshots), which are no backups."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from host.domain.paths import LOCAL_SNAPSHOTS
from ops.archive.catalogue import Backup, Catalogue
from ops.archive.windows import reach
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import postgres
from ops.reach.ssh import Machine
from ops.screen import moment, size

# The checkpoint that it begins with may have much to write.
TIMEOUT_S = 3600


class SnapshotEntry(BaseModel):
    """One local snapshot."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    at: datetime
    """When it was complete: recoveries to a later moment can begin with it."""
    scheduled: bool
    """Whether it was taken by itself and goes by itself, once there are snapshotsKept later
    ones."""
    bytes: int
    """Of its files, which share their blocks with the server's and with each other's."""
    restorable: bool
    """Whether its files are there, and in Barman all WAL from it to the end of its timeline."""
    error: str | None
    """What is wrong with its files."""


class SnapshotList(BaseModel):
    """The local snapshots, newest first. They are on the server's own disk: no backups."""

    snapshots: list[SnapshotEntry]


def read(machine: Machine) -> tuple[Backup, ...]:
    """As bases of a recovery, oldest first. Raises CommandFailed."""
    if not _installed(machine):
        return ()
    return tuple(_base(each) for each in _ask(machine, "list"))


def listed(held: Catalogue) -> SnapshotList:
    """Those of the catalogue, newest first."""
    found = [_entry(held, each) for each in reversed(held.snapshots)]
    return SnapshotList(snapshots=found)


def take(machine: Machine) -> str:
    """Take one; its id, and how long that took, in words. Raises OperatorError."""
    _require_installed(machine)
    found = _ask(machine, "take")
    if "refused" in found:
        raise OperatorError(
            f"No snapshot was taken: {found['refused']}.", NOTHING_CHANGED, "python -m ops status"
        )
    seconds = found["end_time"] - found["begin_time"]
    return f"{found['id']}: {size(found['bytes'])} in {seconds:.1f} s"


def drop(machine: Machine, name: str) -> None:
    """Remove one. Raises OperatorError."""
    _require_installed(machine)
    found = _ask(machine, "drop", name)
    if "refused" in found:
        raise OperatorError(
            f"No snapshot was removed: {found['refused']}.",
            NOTHING_CHANGED,
            next_command="python -m ops snapshots",
        )


def show(found: SnapshotList, console: Console) -> None:
    """Print them."""
    if not found.snapshots:
        console.print("There are no local snapshots. Next: python -m ops snapshot")
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("SNAPSHOT", "AT", "SIZE", ""):
        table.add_column(heading, no_wrap=True)
    table.add_column("RECOVERIES CAN BEGIN WITH IT", overflow="fold")
    for each in found.snapshots:
        usable = "yes" if each.restorable else f"no: {each.error or 'WAL is missing in Barman'}"
        how = "scheduled" if each.scheduled else "by hand"
        table.add_row(each.id, moment(each.at), size(each.bytes), how, usable)
    console.print(table)
    console.print("They share the server's disk, and its fate: none of them is a backup.")


def _ask(machine: Machine, *words: str) -> Any:
    argv = [LOCAL_SNAPSHOTS, *words]
    return json.loads(machine.run(argv, user=postgres.USER, timeout_s=TIMEOUT_S).stdout)


def _installed(machine: Machine) -> bool:
    return machine.run(["test", "-e", LOCAL_SNAPSHOTS], accept=(0, 1)).ok


def _require_installed(machine: Machine) -> None:
    if not _installed(machine):
        raise OperatorError(
            f"{machine.name} has no {LOCAL_SNAPSHOTS} yet.",
            NOTHING_CHANGED,
            next_command="pulumi up",
        )


def _base(snapshot: Mapping[str, Any]) -> Backup:
    return Backup(
        backup_id=snapshot["id"],
        status="FAILED" if snapshot["wrong"] else "DONE",
        error=snapshot["wrong"],
        timeline=snapshot["timeline"],
        begin_xlog=snapshot["begin_lsn"],
        end_xlog=snapshot["end_lsn"],
        begin_time=datetime.fromtimestamp(snapshot["begin_time"], UTC),
        end_time=datetime.fromtimestamp(snapshot["end_time"], UTC),
        restored_size=snapshot["bytes"],
        systemid=snapshot["system_id"],
        version=snapshot["version"],
        pgdata=snapshot["data_directory"],
        local=True,
        scheduled=snapshot["scheduled"],
    )


def _entry(held: Catalogue, base: Backup) -> SnapshotEntry:
    if base.end_time is None or base.timeline is None:
        raise ValueError(f"{base.backup_id} is not complete")
    return SnapshotEntry(
        id=base.backup_id,
        at=base.end_time,
        scheduled=base.scheduled,
        bytes=base.restored_size or 0,
        restorable=reach(held, base, base.timeline) is not None,
        error=base.error,
    )
