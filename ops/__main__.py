"""`python -m ops …`: the runbooks' command line."""

import sys
import tempfile
import traceback

import typer
from rich.console import Console

from ops.cli import adopt, apply, foresight, inspect, migrate, recovery, report, rotate, teardown
from ops.errors import OperatorError, OpsError

# The exit code of `status` for unprotected or unreachable, and of whatever could not be done.
FAILED, INTERRUPTED = 2, 130

app = typer.Typer(
    help="Runbooks for PostgreSQL with Barman. They read the stack's outputs and work over SSH.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(inspect.app)
app.add_typer(report.app)
app.add_typer(foresight.app)
app.add_typer(recovery.app)
app.add_typer(migrate.app)
app.add_typer(rotate.app)
app.add_typer(apply.app)
app.add_typer(adopt.app)
app.add_typer(teardown.app)


def main() -> None:
    """Run the command line; no error is printed with a traceback."""
    try:
        app()
    except OpsError as error:
        Console(stderr=True, emoji=False).print(
            str(error), style="red", markup=False, highlight=False
        )
        sys.exit(FAILED)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            Console(stderr=True, emoji=False).print(
                "Interrupted. What was done so far stays; a unit on a machine goes on.\n"
                "Next: python -m ops status   (it names a run under way, and what ends it)",
                markup=False,
                highlight=False,
            )
        raise
    except Exception as error:
        # Not for an operator at night; whoever mends it wants all of it.
        with tempfile.NamedTemporaryFile(
            "w", prefix="ops-", suffix=".traceback", delete=False
        ) as file:
            traceback.print_exc(file=file)
        unforeseen = OperatorError(
            f"A defect of this program: {type(error).__name__}: {error}. Where it happened is in "
            f"{file.name}.",
            "Whether anything was changed before it is not known.",
            "python -m ops status",
        )
        Console(stderr=True, emoji=False).print(
            str(unforeseen), style="red", markup=False, highlight=False
        )
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
