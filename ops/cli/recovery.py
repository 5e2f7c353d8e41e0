"""Commands that bring data back."""

from enum import StrEnum
from typing import Annotated

import typer

from ops.archive.plan import Plan
from ops.archive.targets import Point, Target
from ops.cli import common, running
from ops.cli.common import console, site_of
from ops.cli.options import Abort, Resume, Stack, Yes
from ops.cli.point import takes_point
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import postgres
from ops.reach.ssh import Site
from ops.recover import clone as clones
from ops.recover import preflight
from ops.recover import rebuild as rebuilding
from ops.recover import undo as undoing
from ops.recover.procedure import procedure
from ops.recover.show import show_plan, show_undo
from ops.runbook import runs
from ops.runbook.journal import Journal

app = typer.Typer()

CheckEverything = Annotated[
    bool,
    typer.Option("--check-everything", help="read every table and index before continuing"),
]
AcceptDamage = Annotated[
    bool,
    typer.Option("--accept-damage", help="continue although tables or indexes are damaged"),
]


DryRun = Annotated[bool, typer.Option("--dry-run", help="show the plan, do nothing")]


class Role(StrEnum):
    """A machine, by what it does."""

    POSTGRES = "postgres"
    BARMAN = "barman"


@app.command()
@takes_point
def recover(
    point: Point,
    stack: Stack = None,
    discard_old_data: Annotated[
        bool,
        typer.Option("--discard-old-data", help="when space is short: undo is then impossible"),
    ] = False,
    while_serving: Annotated[
        bool,
        typer.Option(
            "--while-serving",
            help="with a target in the past: the server goes on until what was brought back has "
            "been checked; what is written until then is gone as well",
        ),
    ] = False,
    check_everything: CheckEverything = False,
    accept_damage: AcceptDamage = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    resume: Resume = False,
    abort: Abort = False,
) -> None:
    """Bring the data back, in place. Without a target: to the last acknowledged commit."""
    with site_of(stack) as site:
        if resume or abort:
            running.finish(site, "recover", abort=abort)
            return
        options = {
            "discard_old_data": discard_old_data,
            "check_everything": check_everything,
            "accept_damage": accept_damage,
            "while_serving": while_serving,
        }
        found = preflight.check(site, point, discard_old_data=discard_old_data)
        if while_serving:
            preflight.require_serving(found, discard_old_data=discard_old_data)
        show_plan(site, found, procedure("recover", options), options, console)
        if dry_run:
            return
        common.ask("Stop PostgreSQL and replace its data?", yes)
        new = Journal.begin("recover", found.plan, **options)
        running.conclude(site, runs.begin(site, new, console, procedure))


@app.command()
def rejoin(stack: Stack = None, resume: Resume = False) -> None:
    """Make streaming backup work again after a recovery, and prove it."""
    with site_of(stack) as site:
        if resume:
            running.finish(site, "rejoin", abort=False)
            return
        running.conclude(site, runs.begin(site, Journal.begin("rejoin"), console, procedure))


@app.command()
def undo(
    stack: Stack = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    resume: Resume = False,
    abort: Abort = False,
) -> None:
    """Back to the data directory from before the last recovery. What was written since is set
    aside, so undo can be undone."""
    with site_of(stack) as site:
        if resume or abort:
            running.finish(site, "undo", abort=abort)
            return
        runs.refuse_if_busy(site)
        server, _, _ = postgres.state(site.postgres, site.outputs.backup.slot)
        if server.accepting:
            preflight.require_startable(site)
        last = undoing.find(site)
        saved = undoing.saved_at(site, last)
        show_undo(site, last, saved, server, procedure("undo"), console)
        if dry_run:
            return
        common.ask("Stop PostgreSQL and go back?", yes)
        running.conclude(site, runs.begin(site, undoing.begin(last), console, procedure))


@app.command()
@takes_point
def rebuild(
    machine: Role,
    point: Point,
    stack: Stack = None,
    check_everything: CheckEverything = False,
    accept_damage: AcceptDamage = False,
    yes: Yes = False,
) -> None:
    """After `pulumi up` has recreated a lost machine: restore its data, or its backups."""
    if machine is Role.BARMAN and point != Point():
        raise OperatorError(
            "A new Barman machine has no old backups: rebuild barman takes no target.",
            NOTHING_CHANGED,
            next_command="python -m ops rebuild barman",
        )
    for number, line in enumerate(rebuilding.ORDER[machine], 1):
        console.print(f"  {number}. {line}", markup=False, highlight=False)
    with site_of(stack) as site:
        runs.refuse_if_busy(site)
        new = Journal.begin("rejoin")
        if machine is Role.POSTGRES:
            plan = _plan_rebuild(site, point, yes)
            new = Journal.begin(
                "recover",
                plan,
                rebuild=True,
                check_everything=check_everything,
                accept_damage=accept_damage,
            )
        running.conclude(site, runs.begin(site, new, console, procedure))


def _plan_rebuild(site: Site, point: Point, yes: bool) -> Plan:
    found = preflight.check(site, point, other_cluster=True)
    rebuilding.require_blank(site, found.plan)
    show_plan(site, found, procedure("recover"), {}, console)
    common.ask("Restore onto this machine?", yes)
    return found.plan


@app.command()
@takes_point
def clone(
    point: Point,
    stack: Stack = None,
    name: Annotated[str, typer.Option("--name", help="of the clone")] = "clone",
    port: Annotated[int, typer.Option("--port", min=1024, max=65535)] = 5433,
    drop: Annotated[bool, typer.Option("--drop", help="remove it")] = False,
) -> None:
    """A past state beside the running server, to look at or to fetch a table from."""
    wanted = clones.Clone(name, port)
    with site_of(stack) as site:
        if drop:
            clones.require(site, wanted)
            clones.drop(site, wanted)
            console.print(f"The clone {name} is gone.")
            return
        if point.target == Target():
            raise OperatorError(
                "A clone needs a target.",
                NOTHING_CHANGED,
                next_command="python -m ops clone --target-time '…'   (see: python -m ops window)",
            )
        found = preflight.check(site, point, discard_old_data=None)
        console.print(f"{point.target.describe()}, from {found.plan.base}")
        for note in found.plan.notes:
            console.print(f"note: {note}", markup=False, highlight=False)
        console.print(clones.make(site, wanted, found.plan, console), highlight=False)
