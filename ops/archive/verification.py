"""What the Barman machine found when it read its backups again, and a reading started now."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from host.domain import histories
from host.domain.paths import VERIFICATION_HISTORY
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.model import BackupStatus
from ops.reach import barman, longrun
from ops.reach.ssh import CommandFailed, Machine, Site

PROGRAM = "/usr/local/bin/backup-verify"
UNIT = "runbook-verify"
# What the error begins with where it is WAL's (host/backup_verify/service.py).
WAL = "WAL "


class Verification(BaseModel):
    """One reading of one backup, and of the WAL from its beginning to the next backup's."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    at: datetime
    backup_id: str
    ok: bool
    """Every file is as PostgreSQL sent it, and every WAL record as PostgreSQL wrote it."""
    seconds: float
    error: str | None
    """The first thing that is wrong."""
    bad_wal: list[str] = []
    """Archived segments that are missing or damaged: nothing can be replayed past them."""

    @property
    def files_damaged(self) -> bool:
        """Whether what is wrong is in the backup's own files, not in WAL alone."""
        return not self.ok and not (self.error or "").startswith(WAL)


def newest(history: str) -> dict[str, Verification]:
    """The last verification of each backup in a history."""
    found: dict[str, Verification] = {}
    for entry in histories.parse(history):
        try:
            verification = Verification.model_validate(entry)
        except ValidationError:
            # Of another version of the program.
            continue
        found[verification.backup_id] = verification
    return found


def read(machine: Machine) -> dict[str, Verification]:
    """The last verification of each backup."""
    return newest(machine.run(["cat", VERIFICATION_HISTORY], accept=(0, 1)).stdout)


def unsound(backups: Sequence[BackupStatus]) -> list[BackupStatus]:
    """Those that did not pass their last verification: the damaged ones, and the newest complete
    one if WAL after it is damaged, for which a newer backup is the cure. `backups` newest first."""
    newest_done = next((backup for backup in backups if backup.status == "DONE"), None)
    return [
        backup
        for backup in backups
        if backup.verified is False and (backup.status == "FAILED" or backup is newest_done)
    ]


def bad_wal(verifications: Iterable[Verification]) -> list[str]:
    """Archived segments that cannot be replayed."""
    return sorted({name for entry in verifications for name in entry.bad_wal})


def verify(site: Site, backup_id: str | None) -> Verification:
    """Read one backup, or the newest complete one, now. Raises OperatorError."""
    outputs, machine = site.outputs, site.barman
    server = outputs.backup.server_name
    backups = barman.backups(barman.ask(machine, "list-backups", server), server)
    done = [backup.id for backup in backups if backup.status == "DONE"]
    if backup_id is None and not done:
        raise OperatorError(
            "There is no complete backup to verify.",
            NOTHING_CHANGED,
            next_command="python -m ops backup --wait",
        )
    wanted = backup_id or done[0]
    _require(wanted, [backup.id for backup in backups])
    folder = f"{outputs.barman.data_directory}/{server}"
    said = longrun.run(
        machine,
        UNIT,
        ["nice", "-n", "19", PROGRAM, folder, "--backup", wanted],
        f"{barman.HOME}/{UNIT}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.log",
        user=barman.USER,
        adopt=False,
        tick=lambda _: None,
    )
    found = newest(said).get(wanted)
    if found is None:
        raise OperatorError(
            f"The verification of {wanted} returned unreadable output: {said}",
            "The verification ran; it marks a backup FAILED when it finds damage.",
            "python -m ops backups",
        )
    return found


def accept(site: Site, backup_id: str) -> None:
    """Let a backup that failed its verification be restored all the same. Raises OperatorError."""
    folder = f"{site.outputs.barman.data_directory}/{site.outputs.backup.server_name}"
    try:
        site.barman.run([PROGRAM, folder, "--accept", backup_id], user=barman.USER)
    except CommandFailed as error:
        raise OperatorError(
            f"{backup_id} cannot be accepted: {error.result.said}",
            NOTHING_CHANGED,
            next_command="python -m ops backups",
        ) from None


def _require(wanted: str, known: list[str]) -> None:
    if wanted not in known:
        raise OperatorError(
            f"There is no backup {wanted}; there are: {', '.join(known) or 'none'}.",
            NOTHING_CHANGED,
            next_command="python -m ops backups",
        )
