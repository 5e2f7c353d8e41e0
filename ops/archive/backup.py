"""A full backup taken now and seen through until Barman calls it DONE."""

import re
import time
from collections.abc import Callable

from host.domain.paths import BARMAN_BACKUP_CONF
from host.domain.processes import BARMAN
from host.domain.wal import LAST_NAME
from ops.archive import catalogue
from ops.archive.catalogue import Backup
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import barman, longrun, postgres, shell
from ops.reach.ssh import Machine, Site
from ops.screen import size

UNIT = "runbook-backup"
ARCHIVE_TIMEOUT_S = 60
SETTLE_TRIES = 5
_TAKEN = re.compile(r"/base/(\d{8}T\d{6})\b")
# Not with --wait: on an idle database that waits for ever for a segment that nothing fills. The
# segment is switched afterwards instead.
_BACKUP = ["backup", "--immediate-checkpoint"]


def running(machine: Machine) -> bool:
    """Whether any backup runs now, whoever started it."""
    pattern = f"bin/{BARMAN} backup "
    return machine.run(["pgrep", "-u", barman.USER, "-f", pattern], accept=(0, 1)).ok


def _command(machine: Machine, server: str) -> list[str]:
    """A machine that `pulumi up` has not brought up to date yet takes plain backups."""
    packed = machine.run(["test", "-e", BARMAN_BACKUP_CONF], accept=(0, 1)).ok
    return ["barman", *(("-c", BARMAN_BACKUP_CONF) if packed else ()), *_BACKUP, server]


def _refuse_a_second(machine: Machine) -> None:
    if running(machine):
        raise OperatorError(
            "A backup is already running; Barman takes one at a time.",
            NOTHING_CHANGED,
            next_command="python -m ops backups   (until that one is DONE)",
        )


def _refuse_out_of_order(site: Site) -> None:
    """Barman would take the new backup for older than one that is there, and delete WAL by that
    (host/files/barman-backup-order)."""
    now = site.barman.run(["date", "+%Y%m%dT%H%M%S"]).stdout.strip()
    later = [backup.backup_id for backup in _backups(site) if backup.backup_id > now]
    if later:
        raise OperatorError(
            f"{site.barman.name}'s clock says {now}, and a backup is called {later[0]}: Barman "
            "names backups by its clock, and would take the new one for the older.",
            NOTHING_CHANGED,
            next_command="set the clock right (timedatectl, on that machine); if the name is what "
            f"is wrong: sudo -u barman barman delete {site.outputs.backup.server_name} {later[0]}",
        )


def take(site: Site, name: str, *, adopt: bool, tick: Callable[[float], None]) -> Backup:
    """Take a full backup and wait until it is DONE. Raises OperatorError.

    `name` marks this one backup's log, so that with `adopt` an interrupted run finds it again.
    """
    machine, server = site.barman, site.outputs.backup.server_name
    if not adopt:
        _refuse_a_second(machine)
        _refuse_out_of_order(site)
    said = longrun.run(
        machine,
        UNIT,
        _command(machine, server),
        _log(name),
        user=barman.USER,
        adopt=adopt,
        tick=tick,
    )
    # By its name: after the clock was set back, the newest name is another backup's.
    named = _TAKEN.search(said)
    if named is None:
        raise OperatorError(
            f"Barman does not say which backup it took: {said.strip()[-500:]}",
            "The backup was taken and stays in Barman's catalogue.",
            "python -m ops backups",
        )
    taken = _one(site, named[1])
    for _ in range(SETTLE_TRIES):
        if taken.status in ("DONE", "FAILED"):
            break
        archive_now(site)
        barman.tell(machine, "check-backup", server, taken.backup_id)
        taken = _one(site, taken.backup_id)
        time.sleep(0.2)
    if taken.status != "DONE":
        raise OperatorError(
            f"Backup {taken.backup_id} is {taken.status}, not DONE.",
            state="The backup was taken and stays in Barman's catalogue.",
            next_command=f"sudo -u barman barman check-backup {server} {taken.backup_id}   "
            "(on barman)",
        )
    # Barman does not force its own notes of the backup to the disk.
    machine.run(["sync", "-f", site.outputs.barman.data_directory])
    return taken


def _one(site: Site, backup_id: str) -> Backup:
    return next(b for b in _backups(site) if b.backup_id == backup_id)


def _backups(site: Site) -> tuple[Backup, ...]:
    """Oldest first. `barman list-backups` would go through the whole archive for each of them."""
    home, server = site.outputs.barman.data_directory, site.outputs.backup.server_name
    return catalogue.read(site.barman, home, server, since=LAST_NAME).backups


def start(machine: Machine, server: str, name: str) -> None:
    """Start a full backup and leave it to the machine. Raises OperatorError."""
    _refuse_a_second(machine)
    longrun.start(machine, UNIT, _command(machine, server), _log(name), user=barman.USER)


def _log(name: str) -> str:
    return f"{barman.HOME}/{UNIT}-{name}.log"


def archive_now(site: Site) -> str:
    """Close the current WAL segment and wait until Barman has archived it; returns its name.

    Not `barman switch-wal`: the receiver closes a segment when the next one begins, which on an
    idle server takes up to 15 s. A message right after the switch begins it at once.
    """
    outputs = site.outputs
    server = outputs.backup.server_name
    message = "SELECT pg_logical_emit_message(true, 'runbook', '')"
    switch = "SELECT pg_walfile_name(pg_switch_wal())"
    name = postgres.query(site.postgres, f"{message}; {switch}; {message}").split("\n")[1]
    path = f"{outputs.barman.data_directory}/{server}/wals/{name[:16]}/{name}"
    newest, deadline = "", time.monotonic() + ARCHIVE_TIMEOUT_S
    while not site.barman.run(["test", "-e", path], accept=(0, 1)).ok:
        # After much writing there is a queue before it: patience, as long as that moves on.
        archive = f"{outputs.barman.data_directory}/{server}/wals"
        now = shell.run(site.barman, "newest-segment", archive, accept=None).stdout
        if now != newest:
            newest, deadline = now, time.monotonic() + ARCHIVE_TIMEOUT_S
        if time.monotonic() > deadline:
            raise OperatorError(
                f"Barman has not archived {name}, and nothing else for {ARCHIVE_TIMEOUT_S} s.",
                state="PostgreSQL has switched to a new WAL segment; nothing was undone.",
                next_command="python -m ops status",
            )
        time.sleep(0.2)
        barman.tell(site.barman, "archive-wal", server, timeout_s=3600)
    return name


def describe(backup: Backup) -> str:
    """For a sentence."""
    stored = f", stored as {size(backup.stored_size)}" if backup.packed else ""
    return f"backup {backup.backup_id} is {backup.status}, {size(backup.restored_size)}{stored}"
