"""The command that ends a stack."""

import json
from typing import Annotated

import typer

from ops import teardown as ending
from ops.cli.common import console, site_of
from ops.cli.options import Stack
from ops.model import Status
from ops.reach import engine, postgres
from ops.reach.ssh import Site
from ops.runbook import runs
from ops.watch import status

app = typer.Typer()


@app.command()
def teardown(
    stack: Stack = None,
    words: Annotated[
        str | None, typer.Option("--words", help="the exact words, for programs")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be lost, do nothing")
    ] = False,
) -> None:
    """Delete the whole stack, data and backups included. Asks for exact words."""
    name = engine.name(stack)
    with site_of(stack) as site:
        found = status.collect(site)
        if found.barman_machine.reachable:
            runs.refuse_if_busy(site)
        lost = ending.losses(found, _databases(site, found))
    console.print(f"Deleting the stack {name} deletes for good:", highlight=False)
    for line in lost:
        console.print(f"  - {line}", markup=False, highlight=False)
    if dry_run:
        return
    wanted = ending.words(name)
    ending.require_words(
        name, typer.prompt(f"Type: {wanted}\n", prompt_suffix="> ") if words is None else words
    )
    ending.destroy(engine.of(name))
    console.print(f"The stack {name} is gone. Its empty state: pulumi stack rm {name}")


def _databases(site: Site, found: Status) -> list[str]:
    """The stack's databases and, where the server can be asked, those made by hand."""
    known = set(site.outputs.databases)
    if found.postgres and found.postgres.accepting:
        listed = postgres.query(
            site.postgres, "SELECT json_agg(datname) FROM pg_database WHERE NOT datistemplate"
        )
        known |= set(json.loads(listed)) - {"postgres"}
    return sorted(known)
