"""The commands that move a database in."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ops.cli import common, running
from ops.cli.common import answer, console, site_of
from ops.cli.options import Json, Resume, Stack, Yes
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.migrate import (
    address,
    compare,
    following,
    measuring,
    moving,
    password,
    show,
    show_comparison,
)
from ops.migrate import plan as planning
from ops.migrate.procedure import BACK, COPY, CUTOVER, FOLLOW, procedure
from ops.reach.ssh import Site
from ops.runbook import runs
from ops.runbook.steps import Run

app = typer.Typer()
group = typer.Typer(help="Move in: from another PostgreSQL to this one.", no_args_is_help=True)
app.add_typer(group, name="migrate")

Source = Annotated[
    str,
    typer.Argument(
        help="connection string without a password: 'host=… user=… dbname=… sslmode=…', or a URI"
    ),
]
Passfile = Annotated[
    Path | None, typer.Option("--passfile", help="its password is in this file of libpq's form")
]
PasswordFile = Annotated[
    Path | None, typer.Option("--password-file", help="its password is all that this file holds")
]


@group.command()
def plan(
    source: Source,
    stack: Stack = None,
    passfile: Passfile = None,
    password_file: PasswordFile = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="read for a minute, and say how long a move takes")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look at a source: what would come, what would not, what to change first. Changes nothing.

    Exit code 1: it is not possible as things are.
    """
    there = address.parse(source)
    secret = password.read(there, passfile=passfile, password_file=password_file)
    with site_of(stack) as site:
        facts = planning.gather(site, there, secret)
        found = planning.judged(facts, datetime.now(UTC))
        if measure:
            found.measured = measuring.measure(site, facts, secret)
    answer(found, as_json, show.show)
    raise typer.Exit(0 if found.possible else 1)


Databases = Annotated[
    list[str] | None, typer.Option("--database", help="only this one; may be repeated")
]
MaybeSource = Annotated[str | None, typer.Argument(help="as for plan; none with --resume")]


@group.command()
def copy(
    source: MaybeSource = None,
    stack: Stack = None,
    database: Databases = None,
    passfile: Passfile = None,
    password_file: PasswordFile = None,
    yes: Yes = False,
    resume: Resume = False,
) -> None:
    """Copy databases, with their applications stopped; then take a full backup."""
    with site_of(stack) as site:
        run = _seen_through(site, COPY, source, database, (passfile, password_file), yes, resume)
        moving.show_passwords(run)
        running.conclude(site, run)


@group.command()
def follow(
    source: MaybeSource = None,
    stack: Stack = None,
    database: Databases = None,
    passfile: Passfile = None,
    password_file: PasswordFile = None,
    yes: Yes = False,
    resume: Resume = False,
) -> None:
    """Copy databases while their applications go on, and follow what they write until cutover."""
    with site_of(stack) as site:
        run = _seen_through(site, FOLLOW, source, database, (passfile, password_file), yes, resume)
        moving.show_passwords(run)
        show.show_status(following.status(site), console)


@group.command()
def status(stack: Stack = None, as_json: Json = False) -> None:
    """How far a move is: what is followed, and how far behind."""
    with site_of(stack) as site:
        answer(following.status(site), as_json, show.show_status)


Reverse = Annotated[
    bool,
    typer.Option(
        "--reverse", help="keep a way back: what is written here goes to the source as well"
    ),
]


@group.command()
def cutover(
    stack: Stack = None, reverse: Reverse = False, yes: Yes = False, resume: Resume = False
) -> None:
    """End the move: close the source, wait until all is here, leave the source."""
    with site_of(stack) as site:
        if resume:
            run = runs.resume(site, CUTOVER, console, procedure)
        else:
            moving.show_cutover(site, console, reverse=reverse)
            common.ask("Close the source, and go on here?", yes)
            run = moving.cut_over(site, console, reverse=reverse)
        moving.show_passwords(run)
        running.conclude(site, run)


@group.command()
def back(stack: Stack = None, yes: Yes = False, resume: Resume = False) -> None:
    """Go back to the source after `cutover --reverse`, with all that was written here since."""
    with site_of(stack) as site:
        if resume:
            runs.resume(site, BACK, console, procedure)
        else:
            moving.show_back(site, console)
            common.ask("Close this server, and go back to the source?", yes)
            moving.go_back(site, console)
        console.print("Clients connect to the source. The databases here stay, closed.")


@group.command()
def end(stack: Stack = None, yes: Yes = False) -> None:
    """Give up the way back: this server retains no WAL for it any more."""
    with site_of(stack) as site:
        moving.require_way_back(site)
        common.ask("Give up the way back to the source?", yes)
        moving.end(site, console)
        console.print("There is no way back any more. The source keeps its data, closed.")


@group.command()
def abort(stack: Stack = None, yes: Yes = False) -> None:
    """Take a move back: source and server as they were before."""
    with site_of(stack) as site:
        common.ask(moving.abort_question(site), yes)
        console.print(moving.abort(site, console))


def _seen_through(
    site: Site,
    kind: str,
    source: str | None,
    chosen: list[str] | None,
    files: tuple[Path | None, Path | None],
    yes: bool,
    resume: bool,
) -> Run:
    if resume:
        return runs.resume(site, kind, console, procedure)
    if source is None:
        raise OperatorError("There is no source.", NOTHING_CHANGED, address.EXAMPLE)
    there = address.parse(source)
    secret = password.read(there, passfile=files[0], password_file=files[1])
    move = moving.decide(site, there, secret, chosen or [], console, follow=kind == FOLLOW)
    common.ask(f"Copy {', '.join(each.name for each in move.databases)}?", yes)
    return moving.begin(site, kind, move, secret, console)


@group.command(name="compare")
def compare_(
    source: Source,
    stack: Stack = None,
    database: Annotated[
        list[str] | None, typer.Option("--database", help="only this one; can be repeated")
    ] = None,
    sample: Annotated[
        float,
        typer.Option(
            "--sample",
            min=0.0001,
            max=100,
            help="of tables over 1 GiB, compare every key and this PERCENT of the rows",
        ),
    ] = 100,
    passfile: Passfile = None,
    password_file: PasswordFile = None,
    as_json: Json = False,
) -> None:
    """Compare a source with this server: definitions, owners, grants, every row. Changes nothing.

    Exit code 1: something differs, or could not be compared.
    """
    there = address.parse(source)
    secret = password.read(there, passfile=passfile, password_file=password_file)
    what = compare.What(databases=tuple(database or ()), percent=sample)
    with site_of(stack) as site:
        found = compare.make(site, there, secret, what, Console(stderr=True, emoji=False))
    answer(found, as_json, show_comparison.show)
    raise typer.Exit(0 if found.identical else 1)
