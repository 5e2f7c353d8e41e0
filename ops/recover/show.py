"""The plan on screen: what would be done, and what would be lost by it."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from ops.archive.plan import Abandoned, Plan
from ops.archive.targets import Kind
from ops.model import PostgresStatus
from ops.reach.ssh import Site
from ops.recover import preflight
from ops.recover.preflight import Preflight
from ops.runbook.journal import Journal
from ops.runbook.steps import Step
from ops.screen import facts, moment, size


def show_plan(
    site: Site,
    found: Preflight,
    steps: list[Step],
    options: Mapping[str, Any],
    console: Console,
) -> None:
    """Print it. `options` are the run's."""
    serving = bool(options.get("while_serving"))
    plan, outputs = found.plan, site.outputs
    table = facts()
    table.add_row("machine", f"{outputs.postgres.name} ({outputs.postgres.private_address})")
    table.add_row("target", _target(plan))
    table.add_row("from", f"{plan.base}, {size(plan.backup_size)}: {found.soundness}")
    table.add_row("will be lost", _lost(found, "the old server stops" if serving else "now"))
    stopped = "goes on until the copy is checked" if serving else "will be stopped"
    running = f"is running and {stopped}" if found.server.accepting else "is not running"
    table.add_row("postgresql", running)
    for client in found.clients:
        table.add_row("connected", client)
    kept = (
        "DISCARDED, there will be no undo"
        if options.get("discard_old_data")
        else "kept for `ops undo`"
    )
    table.add_row("old data", f"{size(found.old_bytes)}, {kept}")
    table.add_row("free space", size(found.free_bytes))
    if found.unlogged:
        table.add_row("come back empty", f"unlogged tables: {', '.join(found.unlogged)}")
    for note in (*plan.notes, *found.warnings):
        table.add_row("note", note)
    console.print(table)
    _number(steps, console)


def _target(plan: Plan) -> str:
    if plan.abandons is not None and plan.target.kind is Kind.LATEST:
        return f"the last commit on timeline {plan.timeline}, which is NOT the newest"
    return f"{plan.target.describe()}, on timeline {plan.timeline}"


def _lost(found: Preflight, until: str) -> str:
    plan = found.plan
    lost = []
    if plan.abandons is not None:
        lost.append(_left_behind(plan.abandons, until))
    if plan.ends_early is not None:
        lost.append(f"everything committed after {moment(plan.ends_early)}: the WAL ends there")
    return "; and ".join(lost) or _after_target(found, until)


def _left_behind(abandoned: Abandoned, until: str) -> str:
    names = " and ".join(str(each) for each in abandoned.timelines)
    several = "s" if len(abandoned.timelines) > 1 else ""
    text = f"everything committed on timeline{several} {names}, until {until}"
    if abandoned.parent is None:
        return text
    return f"{text}; timeline {min(abandoned.timelines)} left timeline {abandoned.parent}" + (
        f" after the commit of {moment(abandoned.left)}" if abandoned.left else ""
    )


def _after_target(found: Preflight, until: str) -> str:
    plan = found.plan
    if plan.target.kind is Kind.LATEST:
        if found.server.accepting:
            return "nothing: the server sends all its WAL before it stops"
        return f"what Barman had not received; it has commits up to {moment(plan.last_commit)}"
    target = plan.target.describe().split("including ")[-1]
    return (
        f"everything committed after {target}, until {until} "
        f"(Barman's last commit is of {moment(plan.last_commit)})"
    )


def show_undo(
    site: Site,
    last: Journal,
    saved: str,
    server: PostgresStatus,
    steps: list[Step],
    console: Console,
) -> None:
    """The same for going back to what `last`, a run, has set aside; `saved` is when the old server
    wrote its last checkpoint."""
    outputs = site.outputs
    table = facts()
    table.add_row("machine", f"{outputs.postgres.name} ({outputs.postgres.private_address})")
    table.add_row("undoes", f"{last.kind} {last.id}")
    table.add_row("target", f"the server as it was before that, stopped at {saved}")
    table.add_row("from", last.facts["aside"])
    table.add_row("set aside", "what was written since then; `ops undo` brings it back")
    running = "is running and will be stopped" if server.accepting else "is not running"
    table.add_row("postgresql", running)
    for client in preflight.clients(site) if server.accepting else ():
        table.add_row("connected", client)
    console.print(table)
    _number(steps, console)


def _number(steps: list[Step], console: Console) -> None:
    for number, step in enumerate(steps, 1):
        console.print(f"  {number:2}. {step.title}", highlight=False, markup=False)
