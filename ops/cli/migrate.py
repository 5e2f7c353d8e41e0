"""The commands that move a database in."""

from pathlib import Path
from typing import Annotated

import typer

from ops.cli.common import Json, Stack, answer, site_of
from ops.migrate import address, password, show
from ops.migrate import plan as planning

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
