"""The command that recreates secrets."""

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console

from ops.cli import common
from ops.cli.common import ask, document, site_of
from ops.cli.options import Json, Stack, Yes
from ops.errors import OperatorError
from ops.model import Verdict
from ops.reach import outputs
from ops.reach.outputs import StackOutputs
from ops.rotate import plan, proof, report
from ops.rotate.engine import Engine
from ops.rotate.plan import Kind, Rotation
from ops.rotate.report import RotationReport
from ops.runbook import runs
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
    as_json: Json = False,
) -> None:
    """Recreate passwords, SSH keys or the certificate; no commit fails. Run again, it continues
    with a rotation that was interrupted."""
    # Standard output is then the document's alone.
    console = Console(stderr=True, emoji=False) if as_json else common.console
    engine = Engine(stack, words_to=sys.stderr if as_json else None)
    before = outputs.read(stack)
    found = plan.plan(kind, engine.configured(), before.rotations, datetime.now(UTC))
    _show(found, console)
    if not found.resumed:
        # An interrupted one may have shut out the key that the outputs still have.
        with site_of(stack) as site:
            runs.refuse_if_busy(site)
            site.postgres.run(["true"])
        engine.require_nothing_pending()
    outcome = report.planned(found)
    if not dry_run:
        ask(f"Rotate {kind}?", yes, on_stderr=as_json)
        for setting in found.settings:
            engine.update(found, setting)
        outcome = _prove(found, stack, before, console)
    if as_json:
        document(outcome)
    if outcome.done and outcome.verdict is not Verdict.PROTECTED:
        raise OperatorError(
            f"The secrets are rotated, but the pair is {outcome.verdict}.",
            "New secrets are in use everywhere.",
            "python -m ops status",
        )


def _show(found: Rotation, console: Console) -> None:
    began = "An earlier run began this; it is completed now" if found.resumed else "Planned"
    console.print(f"{began}, rotation {found.mark} of {found.kind}:", highlight=False)
    for line in plan.CHANGES[found.kind]:
        console.print(f"  - {line}", markup=False, highlight=False)


def _prove(
    rotation: Rotation, stack: str | None, before: StackOutputs, console: Console
) -> RotationReport:
    with site_of(stack) as site:
        proofs = proof.prove(rotation.kind, site, before)
        for line in proofs:
            console.print(f"  - {line}", markup=False, highlight=False)
        after = proof.protected(site)
    show_status(after, console)
    console.print(plan.AFTERWARDS[rotation.kind], markup=False, highlight=False)
    console.print(
        "Commit the stack's settings file: its `rotations` belong to this state.", markup=False
    )
    return report.finished(rotation, proofs, after.verdict)
