"""Commands about what may come: does a restore work, will the disks do."""

from typing import Annotated

import typer

from ops.cli.common import answer, console, site_of
from ops.cli.options import Json, Stack
from ops.watch import capacity as capacity_
from ops.watch import drills as drills_

app = typer.Typer()


@app.command()
def drill(
    stack: Stack = None,
    now: Annotated[bool, typer.Option("--now", help="run one now and wait for its end")] = False,
) -> None:
    """The last restore drill; with --now a new one. Exit code 0 passed, 1 declined, 2 failed."""
    with site_of(stack) as site:
        if now:
            held = drills_.hold(site, lambda text: console.print(text, highlight=False))
        else:
            found = drills_.read(site)
            held = found.drills[-1] if found.drills else None
            if held is None:
                drills_.show(found, console)
                raise typer.Exit(drills_.EXIT_CODES["declined"])
    console.print(drills_.describe(held), markup=False, highlight=False)
    raise typer.Exit(drills_.EXIT_CODES[held.outcome])


@app.command()
def drills(stack: Stack = None, as_json: Json = False) -> None:
    """Every restore drill, with how long it took and how much it brought back."""
    with site_of(stack) as site:
        found = drills_.read(site)
    answer(found, as_json, drills_.show)


@app.command()
def capacity(stack: Stack = None, as_json: Json = False) -> None:
    """When the disks will be full by measured growth, and what to change. Exit code 1: within 30
    days."""
    with site_of(stack) as site:
        found = capacity_.read(site)
    answer(found, as_json, capacity_.show)
    raise typer.Exit(found.exit_code)
