"""The command that fills a state which was lost."""

from typing import Annotated

import typer

from ops import adopt as adopting
from ops.cli.common import ask, console
from ops.cli.options import Stack, Yes
from ops.reach import engine

app = typer.Typer()


@app.command()
def adopt(
    subscription: Annotated[str, typer.Argument(help="id of the Azure subscription")],
    stack: Stack = None,
    yes: Yes = False,
) -> None:
    """Take over into the stack's state, which was lost, what exists in Azure."""
    pulumi = engine.of(engine.name(stack))
    found = adopting.find(pulumi, subscription)
    console.print("Taken over, as they are:")
    for identity in found.adopted:
        console.print(f"  {identity}", markup=False, highlight=False, soft_wrap=True)
    if found.machines:
        console.print(
            "Not taken over: the machines, which let in keys of the lost state only. Their data "
            "disks stay. If the machines are still there, delete them before pulumi up:"
        )
        machines = " ".join(found.machines)
        for verb in ("stop", "delete --yes"):
            line = f"  az vm {verb} --ids {machines}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    ask("Write this into the state?", yes)
    adopting.take_over(pulumi, found)
    console.print("Next: pulumi up   (new machines, passwords and keys; the data as it is)")
