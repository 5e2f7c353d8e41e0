"""Recovery in place: the order of its steps, begun, resumed or aborted under the lock."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach.ssh import Site
from ops.recover import passwords, receiver, rejoin, replay, restore, swap, undo, verify
from ops.runbook import journal, lock, steps
from ops.runbook.journal import Journal
from ops.runbook.steps import Run, Step


def recovery(*, while_serving: bool) -> list[Step]:
    """What is brought back is checked beside the old server's files before it takes their place.
    The old server is stopped first, so that all its WAL is there; or, `while_serving`, at the
    end."""
    bring_back = (
        Step("restore", "Restore the backup", restore.restore, restore.undo_restore),
        Step("replay", "Replay WAL to the target", replay.replay, replay.undo_replay),
        Step("verify", "Verify", verify.verify),
        Step("passwords", "Set the stack's passwords", passwords.restore),
        swap.REHEARSAL,
    )
    if while_serving:
        return [*bring_back, *receiver.HOLD_STILL, *swap.STEPS]
    return [*receiver.HOLD_STILL, *bring_back, *swap.STEPS]


def procedure(kind: str, options: Mapping[str, Any] | None = None) -> list[Step]:
    """The steps of a kind of run with these options, as its journal has both."""
    if kind == "recover":
        while_serving = bool((options or {}).get("while_serving"))
        return recovery(while_serving=while_serving) + rejoin.steps()
    return {"undo": undo.steps, "rejoin": rejoin.alone}[kind]()


def begin(site: Site, new: Journal, console: Console) -> Run:
    """Start a run and see it through."""
    with lock.held(site.barman, new.describe()) as held:
        current = journal.load(site.barman)
        if current is not None:
            raise OperatorError(
                f"A run is under way: {current.describe()}.",
                NOTHING_CHANGED,
                next_command=current.finish_command,
            )
        run = Run(site, new, console, held.require)
        run.save()
        return _through(run)


def resume(site: Site, kind: str, console: Console) -> Run:
    """Go on with the run that was interrupted."""
    with _taken_over(site, kind, console, "resumed") as run:
        return _through(run)


def abort(site: Site, kind: str, console: Console) -> None:
    """Take back the run that was interrupted."""
    with _taken_over(site, kind, console, "aborting") as run:
        steps.backward(run, procedure(kind, run.journal.options))


def _through(run: Run) -> Run:
    todo = procedure(run.journal.kind, run.journal.options)
    steps.forward(run, todo)
    journal.close(run.site.barman, run.journal)
    steps.summary(run, todo)
    return run


@contextmanager
def _taken_over(site: Site, kind: str, console: Console, how: str) -> Iterator[Run]:
    """The run that was interrupted, under the lock; `how` says what becomes of it."""
    found = _interrupted(site, kind, console)
    with lock.held(site.barman, f"{found.journal.describe()} ({how})") as held:
        # Once more: it may have been ended by somebody else meanwhile.
        run = _interrupted(site, kind, console)
        run.require_lock = held.require
        yield run


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
    known = {step.name for step in procedure(kind, current.options)}
    if unknown := [step.name for step in current.steps if step.name not in known]:
        raise OperatorError(
            f"The run was begun by another version of the runbooks: {current.describe()}. This "
            f"one does not know its step {unknown[0]}.",
            NOTHING_CHANGED,
            next_command="the same from the checkout that it was begun from",
        )
    return Run(site, current, console)
