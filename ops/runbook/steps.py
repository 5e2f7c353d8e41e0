"""A runbook as a list of steps that can be repeated, resumed and taken back."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console

from ops.errors import OperatorError
from ops.reach.ssh import CommandFailed, ConnectionLost, Site
from ops.runbook import journal as journals
from ops.runbook.journal import Journal, State
from ops.screen import span

# A restore may have left much in memory.
SYNC_TIMEOUT_S = 3600


@dataclass
class Run:
    """One run under way: the machines, the journal, the screen."""

    site: Site
    journal: Journal
    console: Console
    require_lock: Callable[[], None] = lambda: None
    """Raises ConnectionLost when somebody else may be at work."""

    def save(self) -> None:
        """Put the journal on the Barman machine's disk."""
        journals.save(self.site.barman, self.journal)

    def force_to_disk(self) -> None:
        """What a step has done must outlive a power cut that comes after the journal says so."""
        for machine in (self.site.postgres, self.site.barman):
            machine.run(["sync", "--file-system", "/", "/data"], timeout_s=SYNC_TIMEOUT_S)

    def remember(self, **facts: object) -> None:
        """Keep facts for later steps, at once on disk."""
        self.journal.facts.update(facts)
        self.save()

    def say(self, text: str) -> None:
        """A line about the step under way."""
        self.console.print(f"      {text}", style="dim", markup=False, highlight=False)


@dataclass(frozen=True)
class Step:
    """One step. `do` may be repeated after an interruption at any point, and returns what to say
    about it. `undo` takes back whatever part was done, and may be repeated as well.

    From a step that is `final` on, the run can only go forward. Where a step that `keeps` fails,
    what was done stays for the operator to resume or abort.
    """

    name: str
    title: str
    do: Callable[[Run], str]
    undo: Callable[[Run], None] | None = None
    final: bool = False
    keeps: bool = False


def forward(run: Run, steps: Sequence[Step]) -> None:
    """Do every step that is not done yet. A step that fails is undone with all before it, unless
    the run is already final. Raises OperatorError."""
    for number, step in enumerate(steps, 1):
        record = run.journal.record(step.name)
        if record is not None and record.state is State.DONE:
            continue
        _require_lock(run, step)
        run.journal.note(step.name, State.STARTED)
        run.save()
        run.console.print(f"[{number}/{len(steps)}] {step.title}", markup=False, highlight=False)
        began = time.monotonic()
        try:
            said = step.do(run)
            run.force_to_disk()
        except (OperatorError, CommandFailed) as error:
            raise _failed(run, steps, step, error) from error
        except ConnectionLost as error:
            raise OperatorError(
                f"{error}. Step {step.name} is unfinished.",
                "Nothing was undone; the journal on the Barman machine has the steps done so far.",
                run.journal.finish_command,
            ) from error
        seconds = time.monotonic() - began
        # On disk with the beginning of the next step: a step may be repeated.
        run.journal.note(step.name, State.DONE, seconds, said)
        run.say(f"{said}  ({seconds:.1f} s)" if said else f"({seconds:.1f} s)")


def _require_lock(run: Run, step: Step) -> None:
    try:
        run.require_lock()
    except ConnectionLost as error:
        raise OperatorError(
            f"{error}. Step {step.name} was not begun.",
            "The steps before it are done and stay.",
            f"{run.journal.finish_command}; python -m ops status says whether another one goes on",
        ) from error


def _failed(
    run: Run, steps: Sequence[Step], step: Step, error: OperatorError | CommandFailed
) -> OperatorError:
    happened = _happened(error)
    advice = error.next_command if isinstance(error, OperatorError) else None
    resume = f"python -m ops {run.journal.kind} --resume"
    if is_final(run.journal, steps):
        return OperatorError(
            f"Step {step.name} failed: {happened}",
            "The steps before it are done and stay; the database is NOT protected yet.",
            f"{advice + ', then ' if advice else ''}{resume}",
        )
    if step.keeps:
        return OperatorError(
            f"Step {step.name} failed: {happened}",
            "What was done so far stays; the journal on the Barman machine has it.",
            f"{advice + ', then ' if advice else ''}{run.journal.finish_command}",
        )
    run.console.print(f"      failed: {happened}", style="red", markup=False, highlight=False)
    backward(run, steps)
    return OperatorError(
        f"Step {step.name} failed: {happened}",
        "Everything was put back as it was before.",
        advice or "python -m ops status",
    )


def _happened(error: OperatorError | CommandFailed) -> str:
    return error.happened if isinstance(error, OperatorError) else str(error)


def is_final(journal: Journal, steps: Sequence[Step]) -> bool:
    """Whether a step after which there is no way back has begun."""
    return any(step.final and journal.record(step.name) for step in steps)


def refuse_if_final(journal: Journal, steps: Sequence[Step]) -> None:
    """Raises OperatorError for a run that can only go forward."""
    if is_final(journal, steps):
        raise OperatorError(
            f"{journal.kind} {journal.id} has gone too far to be aborted.",
            "Nothing was undone by this command.",
            f"python -m ops {journal.kind} --resume{_way_back(journal)}",
        )


def backward(run: Run, steps: Sequence[Step]) -> None:
    """Take back every step that has begun, last first. Raises OperatorError when final."""
    refuse_if_final(run.journal, steps)
    for step in reversed(steps):
        record = run.journal.record(step.name)
        if record is None or record.state is State.UNDONE:
            continue
        if step.undo is not None:
            run.console.print(f"      undoing: {step.title}", markup=False, highlight=False)
            try:
                step.undo(run)
                run.force_to_disk()
            except (OperatorError, CommandFailed) as error:
                raise OperatorError(
                    f"Undoing step {step.name} failed: {_happened(error)}",
                    "The steps after it are undone, those before it are not.",
                    f"{run.journal.abort_command}   (once that is fixed)",
                ) from error
            except ConnectionLost as error:
                raise OperatorError(
                    f"{error}. Step {step.name} is not undone yet.",
                    "The steps after it are undone; the journal on the Barman machine has them.",
                    run.journal.finish_command,
                ) from error
        run.journal.note(step.name, State.UNDONE)
        run.save()
    journals.close(run.site.barman, run.journal)


def _way_back(journal: Journal) -> str:
    return "   (afterwards: python -m ops undo)" if journal.plan else ""


def summary(run: Run, steps: Sequence[Step]) -> None:
    """Where the time went."""
    total = 0.0
    for step in steps:
        record = run.journal.record(step.name)
        if record is not None:
            total += record.seconds
            run.console.print(f"  {record.seconds:8.1f} s  {step.title}", markup=False)
    run.console.print(f"  {total:8.1f} s  total ({span(total)})", markup=False)
