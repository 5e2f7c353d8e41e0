"""`python -m ops …`: the runbooks' command line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from ops import backup, catalogue, outputs, postgres, status, targets, window
from ops import undo as undoing
from ops.catalogue import Catalogue
from ops.errors import OperatorError
from ops.journal import Journal
from ops.recover import preflight, procedure
from ops.recover.show import show_plan
from ops.screen import show_status
from ops.ssh import CommandFailed, ConnectionLost, Site, connect

UNREACHABLE = 2

app = typer.Typer(
    help="Runbooks for PostgreSQL with Barman. They read the stack's outputs and work over SSH.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console()
errors = Console(stderr=True)

Stack = Annotated[str | None, typer.Option("--stack", help="stack to work on; else the selected")]
Json = Annotated[bool, typer.Option("--json", help="the same as JSON (docs/ops-json.md)")]


@app.command("status")
def show(stack: Stack = None, as_json: Json = False) -> None:
    """Is it up, is it protected, how far back, what would be lost now. Exit code 0, 1 or 2."""
    with _site(stack) as site:
        found = status.collect(site)
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        show_status(found, console)
    raise typer.Exit(found.verdict.exit_code)


@app.command()
def recover(
    stack: Stack = None,
    target_time: Annotated[str | None, typer.Option(help="a moment, with its time zone")] = None,
    target_xid: Annotated[str | None, typer.Option(help="a transaction id")] = None,
    target_lsn: Annotated[str | None, typer.Option(help="a position in WAL, 0/3000028")] = None,
    target_name: Annotated[str | None, typer.Option(help="a restore point")] = None,
    immediate: Annotated[bool, typer.Option(help="the end of the backup itself")] = False,
    exclusive: Annotated[bool, typer.Option(help="stop just before the target")] = False,
    backup_id: Annotated[str | None, typer.Option(help="restore this backup")] = None,
    timeline: Annotated[int | None, typer.Option(help="follow this timeline")] = None,
    discard_old_data: Annotated[
        bool, typer.Option(help="where space is short: no way back then")
    ] = False,
    dry_run: Annotated[bool, typer.Option(help="show the plan, do nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    resume: Annotated[bool, typer.Option(help="go on with an interrupted recovery")] = False,
    abort: Annotated[bool, typer.Option(help="take an interrupted recovery back")] = False,
) -> None:
    """Bring the data back, in place. Without a target: to the last acknowledged commit."""
    with _site(stack) as site:
        if resume or abort:
            _finish(site, "recover", abort=abort)
            return
        target = targets.parse(
            time=target_time,
            xid=target_xid,
            lsn=target_lsn,
            name=target_name,
            immediate=immediate,
            exclusive=exclusive,
        )
        found = preflight.check(
            site,
            target,
            backup_id=backup_id,
            timeline=timeline,
            discard_old_data=discard_old_data,
        )
        show_plan(site, found, procedure.procedure("recover"), discard_old_data, console)
        if dry_run:
            return
        _ask("Stop PostgreSQL and replace its data?", yes)
        new = Journal.begin("recover", found.plan, discard_old_data=discard_old_data)
        procedure.begin(site, new, console)
        show_status(status.collect(site), console)


@app.command()
def rejoin(
    stack: Stack = None,
    resume: Annotated[bool, typer.Option(help="go on with an interrupted rejoin")] = False,
) -> None:
    """Make streaming backup work again after a recovery, and prove it."""
    with _site(stack) as site:
        if resume:
            _finish(site, "rejoin", abort=False)
            return
        procedure.begin(site, Journal.begin("rejoin"), console)
        show_status(status.collect(site), console)


@app.command()
def undo(
    stack: Stack = None,
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
    resume: Annotated[bool, typer.Option(help="go on with an interrupted undo")] = False,
    abort: Annotated[bool, typer.Option(help="take an interrupted undo back")] = False,
) -> None:
    """Back to the data directory from before the last recovery. What was written since is set
    aside, so undo can be undone."""
    with _site(stack) as site:
        if resume or abort:
            _finish(site, "undo", abort=abort)
            return
        preflight.refuse_if_busy(site)
        last = undoing.find(site)
        console.print(
            f"Undoes {last.kind} {last.id}: {last.facts['aside']} becomes the data directory "
            "again. What was written since then is set aside."
        )
        _ask("Stop PostgreSQL and go back?", yes)
        procedure.begin(site, undoing.begin(last), console)
        show_status(status.collect(site), console)


@app.command()
def backups(stack: Stack = None, as_json: Json = False) -> None:
    """Barman's backups, and which of them can be restored."""
    with _site(stack) as site:
        found = window.backup_list(_catalogue(site))
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        window.show_backups(found, datetime.now(UTC), console)


@app.command("window")
def show_window(stack: Stack = None, as_json: Json = False) -> None:
    """What can be restored: the stretches of time, by timeline."""
    with _site(stack) as site:
        found = window.window(_catalogue(site), datetime.now(UTC))
    if as_json:
        print(found.model_dump_json(indent=2))
    else:
        window.show_window(found, console)


@app.command("backup")
def take_backup(
    stack: Stack = None,
    wait: Annotated[bool, typer.Option("--wait", help="until it is DONE")] = False,
) -> None:
    """Take a full backup now."""
    with _site(stack) as site:
        server, name = site.outputs.backup.server_name, f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        if wait:
            taken = backup.take(site, name, adopt=False, tick=lambda _: None)
            console.print(backup.describe(taken))
        else:
            backup.start(site.barman, server, name)
            console.print("The backup runs on the Barman machine. Next: python -m ops backups")


@app.command()
def restore_point(name: str, stack: Stack = None) -> None:
    """Name this moment, to recover to with --target-name."""
    wanted = targets.parse(name=name).value
    with _site(stack) as site:
        state, _, _ = postgres.state(site.postgres, site.outputs.backup.slot)
        postgres.require_running(state)
        sql = f"SELECT pg_create_restore_point({postgres.literal(wanted)})"
        console.print(f"{wanted} is at {postgres.query(site.postgres, sql)}")


def _catalogue(site: Site) -> Catalogue:
    held = site.outputs
    return catalogue.read(site.barman, held.barman.data_directory, held.backup.server_name)


def _finish(site: Site, kind: str, *, abort: bool) -> None:
    if abort:
        procedure.abort(site, kind, console)
        console.print("Everything is as it was before.")
    else:
        procedure.resume(site, kind, console)
        show_status(status.collect(site), console)


def _ask(question: str, yes: bool) -> None:
    if not yes and not typer.confirm(question):
        raise OperatorError("Not confirmed.")


@contextmanager
def _site(stack: str | None) -> Iterator[Site]:
    with connect(outputs.read(stack)) as site:
        yield site


def main() -> None:
    """Run the command line; an error the operator can act on is printed without a traceback."""
    try:
        app()
    except (OperatorError, CommandFailed, ConnectionLost) as error:
        errors.print(str(error), style="red", markup=False, highlight=False)
        sys.exit(UNREACHABLE)


if __name__ == "__main__":
    main()
