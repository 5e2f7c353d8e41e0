"""The end of a stack: what would be lost, the exact words, and then the destruction.

An accidental `pulumi destroy` is stopped by the program's protected resources
(components/teardown_guard.py). This is the way that is meant.
"""

from engine.pulumi import Pulumi
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.model import Status
from ops.screen import moment, size


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


def destroy(pulumi: Pulumi) -> None:
    """Unprotect and destroy the stack, with the engine's own words on this terminal. Raises
    OperatorError."""
    unprotected = pulumi.unprotect()
    if unprotected.returncode != 0:
        raise OperatorError(
            f"The stack could not be unprotected: {unprotected.stderr.strip()}",
            "Nothing was deleted. Some resources may be unprotected; pulumi up protects them.",
            next_command="python -m ops teardown",
        )
    if pulumi.destroy() != 0:
        raise OperatorError(
            "pulumi destroy did not finish; its own output is above.",
            state="Some resources may be deleted; those that remain are no longer protected.",
            next_command="python -m ops teardown   (to go on; pulumi up brings everything that is "
            "missing back, empty, and protects it again)",
        )
