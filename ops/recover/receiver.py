"""Barman held still: cron and the WAL receiver paused, and what was received last, saved."""

import time

from host.domain.paths import BARMAN_CRON, RUNBOOKS
from host.domain.processes import BARMAN, RECEIVER
from ops.errors import OperatorError
from ops.reach import barman, shell
from ops.recover import cluster
from ops.recover.restore import serving
from ops.runbook.steps import Run, Step

PAUSED = f"{RUNBOOKS}/paused-cron"
SETTLE_TIMEOUT_S = 60.0
# After a bulk load Barman has hundreds of segments to archive, a few a second.
ARCHIVING_TIMEOUT_S = 900.0
BACKUP_POLL_S = 5.0
# Of what cron starts, everything but the receiver ends by itself.
_BUSY = rf"{BARMAN} (cron|archive-wal)( |$)"
_BACKUP = rf"{BARMAN} backup( |$)"


def streaming(run: Run) -> str:
    """Barman's directory of WAL that is still being received."""
    outputs = run.site.outputs
    return f"{outputs.barman.data_directory}/{outputs.backup.server_name}/streaming"


def pause_cron(run: Run) -> str:
    """No cron: it would start the receiver again, or a backup. A backup under way is not cut."""
    machine = run.site.barman
    if serving(run):
        # The run has long begun: it is not to fail by this.
        _wait_for_backup(run)
    if _running(run, _BACKUP):
        raise OperatorError(
            "A backup is being taken right now.",
            "Barman's cron was not paused.",
            next_command="python -m ops backups   (wait until it is DONE, then the same again)",
        )
    shell.run(machine, "move-if-there", BARMAN_CRON, PAUSED)
    if _running(run, _BUSY):
        run.say("Barman archives what it has received; waiting for its end")
    _wait_until_gone(run, _BUSY, ARCHIVING_TIMEOUT_S)
    return "cron is paused"


def _wait_for_backup(run: Run) -> None:
    if _running(run, _BACKUP):
        run.say("a backup is being taken; waiting for its end")
    while _running(run, _BACKUP):
        time.sleep(BACKUP_POLL_S)


def resume_cron(run: Run) -> None:
    """Cron as before."""
    shell.run(run.site.barman, "move-if-there", PAUSED, BARMAN_CRON)


def undo_pause(run: Run) -> None:
    """Cron as before, and the receiver at once instead of at the next minute."""
    resume_cron(run)
    barman.tell(run.site.barman, "cron")


def save_received(run: Run) -> str:
    """Stop the receiver and keep a copy of everything that is not archived yet.

    Only now, with PostgreSQL down: a server that stops orderly first sends all its WAL.
    """
    machine, server = run.site.barman, run.site.outputs.backup.server_name
    stop_receiver(run)
    machine.run(["mkdir", "-p", _saved(run)])
    machine.run(["cp", "-a", f"{streaming(run)}/.", f"{_saved(run)}/"], timeout_s=600)
    names = machine.run(["ls", _saved(run)]).stdout.split()
    return f"received by {server} and not archived yet: {', '.join(names) or 'nothing'}"


def undo_save(run: Run) -> None:
    """Give Barman back what it had received."""
    machine = run.site.barman
    if machine.run(["test", "-d", _saved(run)], accept=(0, 1)).ok:
        machine.run(["cp", "-a", "-n", f"{_saved(run)}/.", f"{streaming(run)}/"], timeout_s=600)


def stop_receiver(run: Run) -> None:
    """Stop receive-wal and its pg_receivewal. Raises OperatorError if it will not stop."""
    if not _running(run, RECEIVER):
        return
    server = run.site.outputs.backup.server_name
    run.site.barman.run(["barman", "receive-wal", "--stop", server], user="barman", accept=None)
    _wait_until_gone(run, RECEIVER)


def _saved(run: Run) -> str:
    return f"{run.journal.folder}/streaming"


def _running(run: Run, pattern: str) -> str:
    return run.site.barman.run(
        ["pgrep", "-u", "barman", "-a", "-f", pattern], accept=(0, 1)
    ).stdout.strip()


def _wait_until_gone(run: Run, pattern: str, timeout_s: float = SETTLE_TIMEOUT_S) -> None:
    deadline = time.monotonic() + timeout_s
    while found := _running(run, pattern):
        if time.monotonic() > deadline:
            raise OperatorError(
                f"Barman is still busy: {found.splitlines()[0]}",
                "Barman's cron is paused; nothing was stopped by force.",
                next_command=f"python -m ops {run.journal.kind} --resume   (once that has ended)",
            )
        time.sleep(0.2)


# PostgreSQL is stopped before the receiver: stopping, it first sends all its WAL.
HOLD_STILL = (
    Step("pause", "Pause Barman's cron", pause_cron, undo_pause),
    Step("stop", "Stop PostgreSQL and verify that it is stopped", cluster.stop, cluster.undo_stop),
    Step("save", "Stop the receiver, save the last WAL it received", save_received, undo_save),
)
