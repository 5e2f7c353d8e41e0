"""The command that makes secrets anew."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from ops import outputs
from ops.cli.common import Stack, Yes, ask, console, site_of
from ops.errors import OperatorError
from ops.model import Verdict
from ops.outputs import StackOutputs
from ops.recover import preflight
from ops.rotate import plan, proof
from ops.rotate.engine import Engine
from ops.rotate.plan import Kind, Rotation
from ops.screen import show_status

app = typer.Typer()


@app.command()
def rotate(
    kind: Annotated[Kind, typer.Argument(help="which secrets")],
    stack: Stack = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would change, do nothing")
    ] = False,
    yes: Yes = False,
) -> None:
    """Make passwords, SSH keys or the certificate anew; no commit fails. Typed again, it goes on
    with a rotation that was interrupted."""
    engine = Engine(stack)
    before = outputs.read(stack)
    found = plan.plan(kind, engine.configured(), before.rotations, datetime.now(UTC))
    _show(found)
    if not found.resumed:
        # An interrupted one may have shut out the key that the outputs still have.
        with site_of(stack) as site:
            preflight.refuse_if_busy(site)
            site.postgres.run(["true"])
        engine.require_nothing_pending()
    if dry_run:
        return
    ask(f"Rotate {kind}?", yes)
    for setting in found.settings:
        engine.update(found, setting)
    _prove(kind, stack, before)


def _show(found: Rotation) -> None:
    began = "An earlier run began this; it is finished now" if found.resumed else "This will happen"
    console.print(f"{began}, rotation {found.mark} of {found.kind}:", highlight=False)
    for line in plan.CHANGES[found.kind]:
        console.print(f"  - {line}", markup=False, highlight=False)


def _prove(kind: Kind, stack: str | None, before: StackOutputs) -> None:
    with site_of(stack) as site:
        for line in proof.prove(kind, site, before):
            console.print(f"  - {line}", markup=False, highlight=False)
        after = proof.protected(site)
    show_status(after, console)
    console.print(plan.AFTERWARDS[kind], markup=False, highlight=False)
    console.print(
        "Commit the stack's settings file: its `rotations` belong to this state.", markup=False
    )
    if after.verdict is not Verdict.PROTECTED:
        raise OperatorError(
            f"The secrets are rotated, but the pair is {after.verdict}.",
            "New secrets are in use everywhere.",
            "python -m ops status",
        )
