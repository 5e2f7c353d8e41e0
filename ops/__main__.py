"""`python -m ops …`: the runbooks' command line."""

import sys

import typer
from rich.console import Console

from ops.cli import bringing_back, ending, looking, looking_ahead, reporting, rotating
from ops.errors import OperatorError
from ops.ssh import CommandFailed, ConnectionLost

# The exit code of `status` for unprotected or unreachable, and of whatever could not be done.
FAILED = 2

app = typer.Typer(
    help="Runbooks for PostgreSQL with Barman. They read the stack's outputs and work over SSH.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(looking.app)
app.add_typer(reporting.app)
app.add_typer(looking_ahead.app)
app.add_typer(bringing_back.app)
app.add_typer(rotating.app)
app.add_typer(ending.app)


def main() -> None:
    """Run the command line; an error the operator can act on is printed without a traceback."""
    try:
        app()
    except (OperatorError, CommandFailed, ConnectionLost) as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
