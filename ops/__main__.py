"""`python -m ops …`: the runbooks' command line."""

import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module

import typer

from ops.errors import OperatorError, OpsError

# The exit code of `status` for unprotected or unreachable, and of whatever could not be done.
FAILED, INTERRUPTED = 2, 130
# The modules of ops/cli and their commands. Only the module of the command that is typed is
# imported: all of them take three times as long.
COMMANDS = {
    "status": ("status",),
    "inspect": (
        *("durability", "alerts", "top", "backups", "verify", "window", "backup"),
        *("restore-point", "snapshot", "snapshots"),
    ),
    "report": ("report",),
    "foresight": ("drill", "drills", "capacity"),
    "recovery": ("recover", "rejoin", "undo", "rebuild", "clone"),
    "migrate": ("migrate",),
    "rotate": ("rotate",),
    "apply": ("apply",),
    "adopt": ("adopt",),
    "teardown": ("teardown",),
}


def command_line(words: Sequence[str]) -> typer.Typer:
    """What understands `words`: the command that they begin with, or every command where that is
    none of them, for the help and for what was mistyped."""
    app = typer.Typer(
        help="Runbooks for PostgreSQL with Barman. They read the stack's outputs and work over "
        "SSH.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        # Without one, typer takes a command that is alone for the whole program.
        callback=lambda: None,
    )
    typed = [module for module, commands in COMMANDS.items() if set(words[:1]) & set(commands)]
    for module in typed or COMMANDS:
        app.add_typer(import_module(f"ops.cli.{module}").app)
    return app


def main() -> None:
    """Run the command line; no error is printed with a traceback."""
    try:
        command_line(sys.argv[1:])()
    except OpsError as error:
        _complain(str(error), style="red")
        sys.exit(FAILED)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            _complain(
                "Interrupted. What was done so far stays; a unit on a machine goes on.\n"
                "Next: python -m ops status   (it names a run under way, and what ends it)"
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
        _complain(str(unforeseen), style="red")
        sys.exit(FAILED)


def _complain(text: str, style: str = "") -> None:
    # Here and not above: it is not needed where all goes well.
    from rich.console import Console

    Console(stderr=True, emoji=False).print(text, style=style, markup=False, highlight=False)


if __name__ == "__main__":
    main()
