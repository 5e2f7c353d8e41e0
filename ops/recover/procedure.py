"""Recovery in place: the order of its steps, begun, resumed or aborted under the lock."""

from rich.console import Console

from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach.ssh import Site
from ops.recover import cluster, passwords, receiver, rejoin, replay, restore, undo, verify
from ops.runbook import journal, lock, steps
from ops.runbook.journal import Journal
from ops.runbook.steps import Run, Step


def recovery() -> list[Step]:
    """PostgreSQL is stopped before the receiver: stopping, it first sends all its WAL."""
    return [
        Step("pause", "Pause Barman's cron", receiver.pause_cron, receiver.undo_pause),
        Step(
            "stop", "Stop PostgreSQL and verify that it is stopped", cluster.stop, cluster.undo_stop
        ),
        Step(
            "save",
            "Stop the receiver, save the last WAL it received",
            receiver.save_received,
            receiver.undo_save,
        ),
        Step(
            "aside",
            "Set the old data directory aside",
            cluster.set_aside,
            cluster.undo_set_aside,
        ),
        Step("restore", "Restore the backup", restore.restore, restore.undo_restore),
        Step("target", "Set the target", restore.configure, restore.undo_configure),
        Step("replay", "Replay WAL to the target", replay.replay, replay.undo_replay),
        Step("promote", "Promote", replay.promote),
        Step("passwords", "Set the stack's passwords", passwords.restore),
        Step("verify", "Verify", verify.verify),
        replay.OPEN,
    ]


def procedure(kind: str) -> list[Step]:
    """The steps of a kind of run, by the name in its journal."""
    known = {
        "recover": lambda: recovery() + rejoin.steps(),
        "undo": undo.steps,
        "rejoin": rejoin.alone,
    }
    return known[kind]()


def begin(site: Site, new: Journal, console: Console) -> Run:
    """Start a run and see it through."""
    with lock.held(site.barman, new.describe()):
        current = journal.load(site.barman)
        if current is not None:
            raise OperatorError(
                f"A run is under way: {current.describe()}.",
                NOTHING_CHANGED,
                next_command=current.finish_command,
            )
        run = Run(site, new, console)
        run.save()
        return _through(run)


def resume(site: Site, kind: str, console: Console) -> Run:
    """Go on with the run that was interrupted."""
    run = _interrupted(site, kind, console)
    with lock.held(site.barman, f"{run.journal.describe()} (resumed)"):
        return _through(run)


def abort(site: Site, kind: str, console: Console) -> None:
    """Take back the run that was interrupted."""
    run = _interrupted(site, kind, console)
    with lock.held(site.barman, f"{run.journal.describe()} (aborting)"):
        steps.backward(run, procedure(kind))


def _through(run: Run) -> Run:
    todo = procedure(run.journal.kind)
    steps.forward(run, todo)
    journal.close(run.site.barman, run.journal)
    steps.summary(run, todo)
    return run


def _interrupted(site: Site, kind: str, console: Console) -> Run:
    current = journal.load(site.barman)
    if current is None:
        raise OperatorError(
            "No run is under way.", NOTHING_CHANGED, next_command="python -m ops status"
        )
    if current.kind != kind:
        raise OperatorError(
            f"Another run is under way: {current.describe()}.",
            NOTHING_CHANGED,
            next_command=current.finish_command,
        )
    return Run(site, current, console)
