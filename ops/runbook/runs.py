"""A run of steps begun, resumed or aborted, under the lock."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach.ssh import Site
from ops.runbook import journal, lock, steps
from ops.runbook.journal import Journal
from ops.runbook.steps import Run, Step

# The steps of a kind of run with these options, as its journal has both.
Procedure = Callable[[str, Mapping[str, Any]], list[Step]]


def begin(site: Site, new: Journal, console: Console, procedure: Procedure) -> Run:
    """Start a run and see it through. Raises OperatorError."""
    with lock.held(site.barman, new.describe()) as held:
        refuse_if_busy(site)
        run = Run(site, new, console, held.require)
        run.save()
        return _through(run, procedure)


def refuse_if_busy(site: Site) -> None:
    """Raises OperatorError while a run is under way."""
    current = journal.load(site.barman)
    if current is not None:
        raise OperatorError(
            f"A run is under way: {current.describe()}.",
            NOTHING_CHANGED,
            next_command=current.finish_command,
        )


def resume(site: Site, kind: str, console: Console, procedure: Procedure) -> Run:
    """Go on with the run that was interrupted. Raises OperatorError."""
    with _taken_over(site, kind, console, procedure, "resumed") as run:
        return _through(run, procedure)


def abort(site: Site, kind: str, console: Console, procedure: Procedure) -> Run:
    """Take back the run that was interrupted. Raises OperatorError."""
    with _taken_over(site, kind, console, procedure, "aborting") as run:
        steps.backward(run, procedure(kind, run.journal.options))
        return run


def give_up(site: Site, kind: str, console: Console, procedure: Procedure) -> None:
    """End the run that was interrupted as it is: another one will take back what it has done.
    Raises OperatorError."""
    with _taken_over(site, kind, console, procedure, "giving up") as run:
        steps.refuse_if_final(run.journal, procedure(kind, run.journal.options))
        journal.close(site.barman, run.journal)


def _through(run: Run, procedure: Procedure) -> Run:
    todo = procedure(run.journal.kind, run.journal.options)
    steps.forward(run, todo)
    journal.close(run.site.barman, run.journal)
    steps.summary(run, todo)
    return run


@contextmanager
def _taken_over(
    site: Site, kind: str, console: Console, procedure: Procedure, how: str
) -> Iterator[Run]:
    """The run that was interrupted, under the lock; `how` says what becomes of it."""
    found = _interrupted(site, kind, console, procedure)
    with lock.held(site.barman, f"{found.journal.describe()} ({how})") as held:
        # Once more: it may have been ended by somebody else meanwhile.
        run = _interrupted(site, kind, console, procedure)
        run.require_lock = held.require
        yield run


def _interrupted(site: Site, kind: str, console: Console, procedure: Procedure) -> Run:
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
