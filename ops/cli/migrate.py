"""The commands that move a database in."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ops.cli.common import Json, Stack, answer, site_of
from ops.migrate import address, compare, password, show, show_comparison
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
        found = compare.make(site, there, secret, what, Console(stderr=True))
    answer(found, as_json, show_comparison.show)
    raise typer.Exit(0 if found.identical else 1)
