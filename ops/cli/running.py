"""How a run ends, and how one that was interrupted goes on."""

import typer

from ops.cli.common import console
from ops.reach.ssh import Site
from ops.recover.procedure import procedure
from ops.runbook import runs
from ops.runbook.steps import Run
from ops.screen import show_status
from ops.watch import status


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
