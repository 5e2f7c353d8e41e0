"""What every command shares: the stack's option, the connection, the question."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console

from ops.archive import catalogue
from ops.archive.catalogue import Catalogue
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import outputs
from ops.reach.ssh import Site, connect
from ops.recover.procedure import procedure
from ops.runbook import runs
from ops.runbook.steps import Run
from ops.screen import show_status
from ops.watch import status

# A name may have :x: in it, which is not meant as a picture.
console = Console(emoji=False)
Found = TypeVar("Found", bound=BaseModel)

Stack = Annotated[str | None, typer.Option("--stack", help="stack to work on; else the selected")]
Json = Annotated[bool, typer.Option("--json", help="the same as JSON (docs/ops-json.md)")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
Resume = Annotated[bool, typer.Option("--resume", help="continue an interrupted run")]
Abort = Annotated[bool, typer.Option("--abort", help="undo an interrupted run")]


@contextmanager
def site_of(stack: str | None) -> Iterator[Site]:
    """Both machines of the stack, connected."""
    with connect(outputs.read(stack)) as site:
        yield site


def store_of(site: Site) -> Catalogue:
    """What Barman holds."""
    home, server = site.outputs.barman.data_directory, site.outputs.backup.server_name
    return catalogue.read(site.barman, home, server)


def finish(site: Site, kind: str, *, abort: bool) -> None:
    """Go on with an interrupted run of `kind`, or take it back."""
    if abort:
        runs.abort(site, kind, console, procedure)
        console.print("Everything is as it was before.")
    else:
        conclude(site, runs.resume(site, kind, console, procedure))


def conclude(site: Site, run: Run) -> None:
    """The status screen at the end of a run. Exit code 1 when what came back is damaged."""
    show_status(status.collect(site), console)
    damaged = run.journal.facts.get("damaged")
    if damaged:
        console.print(
            f"DAMAGED, and accepted: {', '.join(damaged)}\n"
            "Next: REINDEX INDEX for an index; a table: python -m ops clone, from an older backup",
            style="red",
            markup=False,
            highlight=False,
        )
        raise typer.Exit(1)


def answer(found: Found, as_json: bool, show: Callable[[Found, Console], None]) -> None:
    """Print what was found: as JSON, or as `show` does for people."""
    if as_json:
        document(found)
    else:
        show(found, console)


def document(found: BaseModel) -> None:
    """Print what was found as JSON."""
    print(found.model_dump_json(indent=2))


def ask(question: str, yes: bool, *, on_stderr: bool = False) -> None:
    """Go on only with a yes. Raises OperatorError."""
    if not yes and not typer.confirm(question, err=on_stderr):
        raise OperatorError("Not confirmed.", NOTHING_CHANGED)
