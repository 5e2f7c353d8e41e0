"""`python -m ops …`: the runbooks' command line."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from ops import outputs, status
from ops.errors import OperatorError
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


@app.callback()
def _root() -> None:
    """Keeps `status` a subcommand while it is the only one."""


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
