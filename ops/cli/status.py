"""`ops status`, which is typed in a hurry: Pulumi's engine takes half a second to say what the
stack has, and what is to ask the machines is imported meanwhile, not before."""

from concurrent.futures import ThreadPoolExecutor

import typer

from ops.cli.options import Json, Stack
from ops.reach import engine

app = typer.Typer()


@app.command("status")
def show(stack: Stack = None, as_json: Json = False) -> None:
    """Is it up, is it protected, how far back, what would be lost now. Exit code 0, 1 or 2."""
    with ThreadPoolExecutor(1) as beside:
        outputs = beside.submit(engine.outputs, stack)
        from ops.cli.common import answer
        from ops.reach.outputs import parse
        from ops.reach.ssh import connect
        from ops.screen import show_status
        from ops.watch import status
    with connect(parse(outputs.result(), stack), at_once=True) as site:
        found = status.collect(site)
    answer(found, as_json, show_status)
    raise typer.Exit(found.verdict.exit_code)
