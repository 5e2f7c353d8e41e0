"""What Barman holds, as typed values: backups, runs of WAL, switchpoints between timelines."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

from host.domain.backup_info import UNVERIFIED
from host.domain.wal import number_of, parse_lsn
from ops.archive import verification
from ops.archive.verification import Verification
from ops.reach import barman, remote_python
from ops.reach.ssh import Machine


def _lsn(value: Any) -> Any:
    return parse_lsn(value) if isinstance(value, str) else value


def _seconds(value: Any) -> Any:
    return datetime.fromtimestamp(value, UTC) if isinstance(value, int | float) else value


Lsn = Annotated[int, BeforeValidator(_lsn)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Commit(_Model):
    """A commit found in WAL; `lsn` is where its record ends."""

    lsn: Lsn
    xid: int
    time: Annotated[datetime, BeforeValidator(_seconds)]


class Backup(_Model):
    """One base backup. Positions and times are None while it is not complete."""

    backup_id: str
    status: str
    error: str | None = None
    timeline: int | None = None
    begin_xlog: Lsn | None = None
    end_xlog: Lsn | None = None
    begin_time: datetime | None = None
    end_time: datetime | None = None
    packed: bool = False
    """Whether its files are in compressed archives."""
    stored_size: int | None = None
    """Bytes on Barman's disk."""
    restored_size: int | None = None
    """Bytes that its files take once they are restored."""
    systemid: str | None = None
    version: int | None = None
    pgdata: str | None = None
    parent_backup_id: str | None = None
    """Of a block-level incremental: what it is to be combined with."""
    local: bool = False
    """Whether it is a local snapshot, which is no backup, on PostgreSQL's own disk."""
    scheduled: bool = False
    """Of a local snapshot: whether it was taken by itself."""

    @property
    def usable(self) -> bool:
        """Whether it can be restored: complete, all WAL to make it consistent is there, and no
        incremental, which Barman would have to combine with others first."""
        return self.status == "DONE" and self.parent_backup_id is None

    @property
    def corrupt(self) -> bool:
        """Whether it was complete, and then failed its verification."""
        return (self.error or "").startswith(UNVERIFIED)


class Run(_Model):
    """Consecutive segments of one timeline; `partial` when the last is still being received."""

    timeline: int
    first: str
    last: str
    partial: bool
    last_commit: Commit | None


class Switchpoint(_Model):
    """Where `timeline` left `parent`; `last_commit` is the last one both have."""

    timeline: int
    parent: int
    lsn: Lsn
    path: tuple[tuple[int, Lsn], ...]
    last_commit: Commit | None


class Catalogue(_Model):
    """Everything the planning of a recovery needs to know of Barman's store."""

    segment_size: int
    backups: tuple[Backup, ...]
    runs: tuple[Run, ...]
    switchpoints: tuple[Switchpoint, ...]
    verifications: dict[str, Verification] = {}
    """The newest of each backup."""
    snapshots: tuple[Backup, ...] = ()
    """PostgreSQL's machine has them, not Barman. No window begins with one."""

    def position(self, name: str) -> int:
        """A segment's place on its timeline: LSN divided by the segment size."""
        return number_of(name, self.segment_size)

    def backup(self, backup_id: str) -> Backup | None:
        """Barman's backup, or the local snapshot, of this id."""
        known = (*self.backups, *self.snapshots)
        return next((b for b in known if b.backup_id == backup_id), None)

    @property
    def newest_timeline(self) -> int:
        """The timeline the server is, or was last, on."""
        known = [run.timeline for run in self.runs] + [b.timeline or 0 for b in self.backups]
        return max(known, default=0)

    def lineage(self, timeline: int) -> list[tuple[int, int | None]]:
        """A timeline's ancestors, oldest first, each with the LSN at which it was left; then
        itself with None."""
        left = next((s for s in self.switchpoints if s.timeline == timeline), None)
        return [*(left.path if left else ()), (timeline, None)]


def read(machine: Machine, home: str, server: str, since: str = "") -> Catalogue:
    """Barman's store as it is now. Segments known to be damaged count as missing.

    With `since` (host.domain.wal.not_after) the archive is not gone through once more: of WAL there
    is then only that timeline's from there on, and no switchpoints.
    """
    verified = verification.read(machine)
    answer = remote_python.call(
        machine,
        "ops.onmachine.catalogue",
        [home, server, json.dumps(verification.bad_wal(verified.values())), since],
        user=barman.USER,
        timeout_s=600,
    )
    return Catalogue.model_validate(answer | {"verifications": verified})
