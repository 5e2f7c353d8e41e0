"""The commands that move a database in."""

from pathlib import Path
from typing import Annotated

import typer

from ops.cli import common
from ops.cli.common import Abort, Json, Resume, Stack, Yes, answer, console, site_of
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.migrate import address, moving, password, show
from ops.migrate import plan as planning
from ops.migrate.procedure import COPY, procedure
from ops.runbook import runs

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
    as_json: Json = False,
) -> None:
    """Look at a source: what would come, what would not, what to change first. Changes nothing.

    Exit code 1: it is not possible as things are.
    """
    there = address.parse(source)
    secret = password.read(there, passfile=passfile, password_file=password_file)
    with site_of(stack) as site:
        found = planning.make(site, there, secret)
    answer(found, as_json, show.show)
    raise typer.Exit(0 if found.possible else 1)


Databases = Annotated[
    list[str] | None, typer.Option("--database", help="only this one; may be repeated")
]
MaybeSource = Annotated[
    str | None, typer.Argument(help="as for plan; none with --resume and --abort")
]


@group.command()
def copy(
    source: MaybeSource = None,
    stack: Stack = None,
    database: Databases = None,
    passfile: Passfile = None,
    password_file: PasswordFile = None,
    yes: Yes = False,
    resume: Resume = False,
    abort: Abort = False,
) -> None:
    """Copy databases from a source, with its applications stopped; compare; take a full backup.

    Exit code 1: it is not possible as things are.
    """
    with site_of(stack) as site:
        if resume:
            common.conclude(site, moving.ended(runs.resume(site, COPY, console, procedure)))
            return
        if abort:
            runs.abort(site, COPY, console, procedure)
            console.print("Everything is as it was before.")
            return
        if source is None:
            raise OperatorError("There is no source.", NOTHING_CHANGED, address.EXAMPLE)
        there = address.parse(source)
        secret = password.read(there, passfile=passfile, password_file=password_file)
        move = moving.decide(site, there, secret, database or [], console, follow=False)
        common.ask(f"Copy {', '.join(each.name for each in move.databases)}?", yes)
        run = moving.begin(site, COPY, move, secret, console)
        common.conclude(site, moving.ended(run))
