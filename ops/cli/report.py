"""`ops report`: the one page, as a file or in the browser."""

from pathlib import Path
from typing import Annotated

import typer

from ops.cli.common import console, site_of
from ops.cli.options import Stack
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import outputs
from ops.reach.ssh import connect
from ops.report import serve as serving
from ops.report.collect import collect
from ops.report.model import Report
from ops.report.page import render

app = typer.Typer()


@app.command()
def report(
    stack: Stack = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="where to write it; else report.html")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="serve it at 127.0.0.1, refreshed every minute")
    ] = False,
    port: Annotated[int, typer.Option("--port", min=0, max=65535)] = 8432,
) -> None:
    """Everything on one page for people: HTML that loads nothing. Exit code 0 once it is written,
    whatever it says."""
    if serve:
        if output is not None:
            raise OperatorError(
                "--serve writes no file.",
                NOTHING_CHANGED,
                next_command="python -m ops report --serve",
            )
        found = outputs.read(stack)

        def ask() -> Report:
            # A connection of its own each time: machines come and go while this runs.
            with connect(found) as site:
                return collect(site)

        serving.serve(ask, port, lambda text: console.print(text, markup=False, highlight=False))
        return
    target = output or Path("report.html")
    if not target.parent.is_dir():
        raise OperatorError(f"There is no directory {target.parent} to write to.", NOTHING_CHANGED)
    with site_of(stack) as site:
        made = collect(site)
    _write(target, render(made))
    console.print(f"{made.status.verdict.upper()}. The page is in {target}", highlight=False)


def _write(target: Path, text: str) -> None:
    """Whole or not at all: somebody may be reading the last one."""
    new = target.with_name(f".{target.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(target)
    except OSError as error:
        raise OperatorError(
            f"{target} cannot be written: {error.strerror}", f"{target} is as it was before."
        ) from None
