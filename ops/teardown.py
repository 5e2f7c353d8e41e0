"""The end of a stack: what would be lost, the exact words, and then the destruction.

An accidental `pulumi destroy` is stopped by the program's protected resources
(components/teardown_guard.py). This is the way that is meant.
"""

import os
import subprocess
from collections.abc import Callable

from ops.errors import NOTHING_CHANGED, OperatorError
from ops.model import Status
from ops.reach import outputs
from ops.screen import moment, size

Run = Callable[[list[str]], int]


def losses(status: Status, databases: list[str]) -> list[str]:
    """What goes away with the stack, a sentence each."""
    lines = []
    for machine in (status.postgres_machine, status.barman_machine):
        if machine.reachable and machine.disk:
            lines.append(f"{machine.name} and its data disk: {size(machine.disk.used_bytes)} used")
        else:
            lines.append(f"{machine.name} and its data disk: it cannot be reached to look")
    lines.append(f"the databases: {', '.join(databases)}")
    if status.postgres and status.postgres.connections:
        lines.append(f"connections right now: {status.postgres.connections}")
    if status.restorable_from is not None and status.last_done_backup is not None:
        lines.append(
            f"every backup ({status.backups}), the newest of "
            f"{moment(status.last_done_backup.ended_at)}, and every point in time since "
            f"{moment(status.restorable_from)}"
        )
    elif status.barman_machine.reachable:
        lines.append("no backup: there is none")
    else:
        lines.append("all backups")
    lines.append("every password and SSH key of the stack")
    return lines


def words(stack: str) -> str:
    """What the operator has to say."""
    return f"delete {stack} and all its data"


def require_words(stack: str, said: str) -> None:
    """Raises OperatorError unless `said` is exactly what has to be said."""
    if said.strip() != words(stack):
        raise OperatorError(
            f"Not confirmed: the words are: {words(stack)}",
            NOTHING_CHANGED,
            next_command="python -m ops teardown",
        )


def destroy(stack: str, run: Run) -> None:
    """Unprotect and destroy, with the engine's own words on this terminal. Raises OperatorError.

    `run` takes pulumi's arguments and returns its exit code.
    """
    on = ["--stack", stack]
    if run(["state", "unprotect", "--all", "--yes", *on]) != 0:
        raise OperatorError(
            "The stack could not be unprotected; pulumi's own output is above.",
            "Nothing was deleted. Some resources may be unprotected; pulumi up protects them.",
            next_command="python -m ops teardown",
        )
    if run(["destroy", "--yes", "--skip-preview", *on]) != 0:
        raise OperatorError(
            "pulumi destroy did not finish; its own output is above.",
            state="Some resources may be deleted; those that remain are no longer protected.",
            next_command="python -m ops teardown   (to go on; pulumi up brings everything that is "
            "missing back, empty, and protects it again)",
        )


def pulumi(stack: str | None) -> Run:
    """Runs pulumi in the project, on this terminal, for `stack` or the selected one."""
    around = outputs.lab_environment(stack, os.environ) or dict(os.environ)

    def run(arguments: list[str]) -> int:
        argv = ["pulumi", *arguments]
        return subprocess.run(argv, cwd=outputs.PROJECT, env=around, check=False).returncode

    return run


def name_of(stack: str | None) -> str:
    """The name of `stack`, or of the selected one. Raises OperatorError."""
    if stack:
        return stack
    around = outputs.lab_environment(None, os.environ) or dict(os.environ)
    done = subprocess.run(
        ["pulumi", "stack", "--show-name", "--non-interactive"],
        cwd=outputs.PROJECT,
        env=around,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise outputs.explain(done.stderr, stack)
    return done.stdout.strip()
