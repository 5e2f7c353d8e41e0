"""The command that brings both machines to the stack's state again."""

import typer

from ops.cli.common import console, site_of
from ops.cli.options import Stack
from ops.errors import OperatorError
from ops.reach import engine
from ops.runbook import runs

# The resources by which programs are run on the machines (components/remote.py).
PROGRAMS = "**command:remote:Command**"

app = typer.Typer()


@app.command()
def apply(stack: Stack = None) -> None:
    """Run every program on both machines again, whatever Pulumi thinks they have.

    They look first, and change only what is not as the stack has it.
    """
    name = engine.name(stack)
    with site_of(stack) as site:
        runs.refuse_if_busy(site)
        # To Pulumi every program is new then, the first boot's too: it would wait as for one.
        site.postgres.run(["true"])
    code = engine.of(name).up("--non-interactive", "--replace", PROGRAMS)
    if code:
        raise OperatorError(
            f"pulumi up ended with exit code {code}; its own output is above.",
            "What a program could not bring about it has taken back; the others are done.",
            "mend what it names, then: python -m ops apply",
        )
    console.print("Both machines have what the stack asks for.")
