"""WAL replayed into the restored copy, up to the target and not one commit less."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from host.domain.wal import parse_lsn, show_lsn
from host.restored_copy.confinement import BESIDE
from ops.archive.catalogue import Commit
from ops.archive.targets import Kind
from ops.errors import OperatorError
from ops.recover import copies
from ops.recover.restore import (
    copy_of,
    effective,
    last_commit,
    reserve,
    serving,
    target_settings,
    the_plan,
)
from ops.runbook.steps import Run
from ops.screen import moment


def replay(run: Run) -> str:
    """Replay to the target and promote; nobody but the runbook is let in."""
    plan, machine, copy = the_plan(run), run.site.postgres, copy_of(run)
    # While the old server goes on, more than the last commit may arrive.
    last = None if serving(run) else last_commit(run)
    target = effective(plan, last.time if last else None)
    settings = target_settings(target, plan.timeline, plan.restore_point)
    with copies.doubting_the_snapshot(plan):
        copies.prepare(machine, copy, settings, fresh=False)
        found = copies.replay(
            machine,
            copy,
            copies.store(run.site.outputs, plan.segment_size),
            run.console,
            between=(plan.replay_from, plan.replay_to),
            reserve=reserve(run),
            properties=BESIDE if serving(run) else {},
        )
    if last is not None and target.kind is Kind.LATEST:
        require_reached(last, found["reached"])
    return arrived(run, found)


def arrived(run: Run, found: Mapping[str, Any]) -> str:
    """Remember where a replay has ended, and say it."""
    run.remember(timeline=found["timeline"])
    at = found["last_commit"]
    if at is not None:
        run.remember(replayed_to=at)
    at = run.journal.facts.get("replayed_to")
    when = moment(datetime.fromtimestamp(at, UTC) if at is not None else None)
    return f"replayed; the last commit is of {when}; on timeline {found['timeline']}"


def require_reached(promised: Commit, reached: str | None) -> None:
    """Raises OperatorError where replay ended before `promised`, the last commit that Barman holds.
    `reached` is the position at which the copy left the timeline."""
    if reached is None or parse_lsn(reached) < promised.lsn:
        raise OperatorError(
            f"Replay ended at {reached}, before the last commit in Barman's WAL, which is at "
            f"{show_lsn(promised.lsn)} ({moment(promised.time)}): the WAL between them is damaged.",
            copies.NOT_OPENED,
            next_command=f"python -m ops recover --target-lsn {reached}   (to have what is before "
            "the damage)",
        )


def undo_replay(run: Run) -> None:
    """Stop the copy. What was restored stays for the step before to remove."""
    copies.stop(run.site.postgres, copy_of(run))
