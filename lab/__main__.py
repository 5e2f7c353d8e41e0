"""The local Azure: whole stacks on this machine.

Exit codes: 0 done · 1 it failed on the way · 2 wrong usage · 3 not possible here, nothing changed ·
4 another command is at work · 5 the deletion of data disks was not confirmed.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from engine import binary, bootstrap
from engine.environment import Workspace, exports
from engine.errors import EngineError, StackBusyError
from lab import bring_up, plan, preflight, teardown
from lab.lock import BusyError, hold
from lab.machines import machine, power
from lab.names import Lab
from lab.progress import Progress
from lab.shell import LabError

FAILED, NOT_POSSIBLE, BUSY, NOT_CONFIRMED = 1, 3, 4, 5

root = Path(__file__).resolve().parent.parent
progress = Progress(Console(stderr=True))
app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)

Stack = Annotated[str, typer.Option(envvar="STACK", help="which lab, named by its stack")]
Name = Annotated[str, typer.Argument(help="a machine, as `list` names it")]


@app.command()
def up(stack: Stack = "lab") -> None:
    """Make the lab, or bring it up to what the program says now."""
    lab = _lab(stack)
    if found := preflight.findings(root / ".lab"):
        _refuse("\n\n".join(found) + "\n\nNothing was changed.")
    with hold(lab.directory, "up"):
        code = bring_up.up(root, lab, progress)
    raise typer.Exit(FAILED if code else 0)


@app.command()
def down(
    stack: Stack = "lab",
    yes_delete_data: Annotated[
        bool, typer.Option("--yes-delete-data", help="delete the data disks without asking")
    ] = False,
) -> None:
    """Remove the lab: machines, disks, network and state."""
    lab = _lab(stack)
    if not teardown.anything_left(root, lab):
        progress.say(f"There is no lab {stack!r}: nothing to remove.")
        return
    if os.geteuid() != 0:
        _refuse("Removing a lab needs root. Type: sudo make down\nNothing was changed.")
    with hold(lab.directory, "down"):
        if not yes_delete_data:
            _confirm(lab)
        teardown.down(root, lab, progress)
    progress.say(f"The lab {stack!r} is gone.")


@app.command()
def shell(stack: Stack = "lab") -> None:
    """Open a shell in which `pulumi` works on the lab."""
    around = dict(os.environ)
    for name, value in _exports(stack).items():
        around.pop(name, None) if value is None else around.update({name: value})
    progress.say(f"pulumi in this shell works on the lab {stack!r}; exit leaves it.")
    program = os.environ.get("SHELL", "/bin/sh")
    os.chdir(root)
    os.execve(program, [program], around)


@app.command()
def env(stack: Stack = "lab") -> None:
    """Print lines for `eval`, after which `pulumi` works on the lab."""
    for name, value in _exports(stack).items():
        print(f"unset {name}" if value is None else f"export {name}={shlex.quote(value)}")


@app.command("list")
def list_machines(stack: Stack = "lab") -> None:
    """List the lab's machines and whether they run."""
    lab = _lab(stack)
    for name in machine.names(lab):
        print(f"{name}\t{'running' if machine.is_running(lab, name) else 'off'}")


@app.command()
def power_off(name: Name, stack: Stack = "lab") -> None:
    """Shut a machine down as Azure does on deallocate."""
    machine.power_off(_with(stack, name), name)


@app.command()
def power_on(name: Name, stack: Stack = "lab") -> None:
    """Start a machine that is off."""
    lab = _with(stack, name)
    progress.say("\n".join(power.switch_on(lab, name)) or f"{name} is running already.")
    if not machine.is_running(lab, name):
        raise typer.Exit(FAILED)


@app.command()
def kill(name: Name, stack: Stack = "lab") -> None:
    """Cut a machine's power: no shutdown, no sync."""
    machine.kill(_with(stack, name), name)


@app.command(context_settings={"ignore_unknown_options": True})
def enter(
    name: Name, command: Annotated[list[str] | None, typer.Argument()] = None, stack: Stack = "lab"
) -> None:
    """Run a command as root on a machine, or a shell; exits as it does."""
    raise typer.Exit(machine.enter(_with(stack, name), name, command or ["bash", "-l"]))


@app.command()
def console(name: Name, stack: Stack = "lab") -> None:
    """Show what a machine printed since it booted, and go on showing it."""
    log = machine.console_log(_with(stack, name), name)
    os.execvp("tail", ["tail", "-n", "200", "-F", str(log)])


@app.command("plan")
def show_plan(stack: Annotated[str, typer.Argument(help="dev, lab, …")] = "dev") -> None:
    """Print what a stack would create as JSON, offline; exits as `pulumi preview` does."""
    with progress.step("Pulumi engine") as echo:
        programs = bootstrap.ensure(root, echo)
    raise typer.Exit(plan.plan(root, programs, stack))


def _lab(stack: str) -> Lab:
    try:
        return Lab.of(root / ".lab", stack)
    except ValueError as problem:
        _refuse(str(problem))


def _with(stack: str, name: str) -> Lab:
    """The lab, if it has a machine of that name and this user may touch it."""
    lab = _lab(stack)
    there = machine.names(lab)
    if name not in there:
        _refuse(f"The lab {stack!r} has no machine {name!r}. It has: {', '.join(there) or 'none'}.")
    if os.geteuid() != 0:
        _refuse("The lab's machines belong to root: type the same command after sudo.")
    return lab


def _exports(stack: str) -> dict[str, str | None]:
    programs = binary.available(root)
    workspace = Workspace(root / ".lab")
    if programs is None or not workspace.passphrase.exists():
        _refuse("There is no lab in this checkout yet. Type: make up")
    return exports(workspace, programs, stack, os.environ)


def _confirm(lab: Lab) -> None:
    kept = teardown.data_disks(lab)
    what = f"{len(kept)} data disk{'s' if len(kept) != 1 else ''}" if kept else "no data disk"
    option = "make down YES_DELETE_DATA=1"
    if not sys.stdin.isatty():
        progress.say(
            f"The lab {lab.stack!r} has {what}; deleting it needs an explicit yes.\n"
            f"Nothing was changed. Type: {option}"
        )
        raise typer.Exit(NOT_CONFIRMED)
    answer = input(f"This deletes the lab {lab.stack!r} and {what}. Type its name to continue: ")
    if answer.strip() != lab.stack:
        progress.say("Nothing was changed.")
        raise typer.Exit(NOT_CONFIRMED)


def _refuse(why: str) -> NoReturn:
    progress.say(why)
    raise typer.Exit(NOT_POSSIBLE)


def main() -> None:
    """Run the command line, turning expected failures into words and exit codes."""
    try:
        app(standalone_mode=True)
    except (BusyError, StackBusyError) as busy:
        progress.say(str(busy))
        sys.exit(BUSY)
    except EngineError as problem:
        progress.say(str(problem))
        sys.exit(NOT_POSSIBLE)
    except LabError as failure:
        progress.say(
            f"{failure}\nWhat was made before that stays: make up continues, make down removes."
        )
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
