"""The move under way, kept on the PostgreSQL machine until it is over."""

import json

from ops.errors import NOTHING_CHANGED, OperatorError
from ops.migrate.move import Move
from ops.onmachine.migration.sessions import FOLDER
from ops.reach import postgres, shell
from ops.reach.ssh import Machine

FILE = f"{FOLDER}/move.json"
ABORT, STATUS = "python -m ops migrate abort", "python -m ops migrate status"
# With more than this to catch up, writes would stop for longer than anybody expects.
READY_BYTES = 64 << 20
# How long writes may stop before the server that they left is opened again.
DRAIN_S = 30


def save(machine: Machine, move: Move) -> None:
    """Keep it."""
    shell.write_file(machine, FILE, move.model_dump_json(), mode="600", user=postgres.USER)


def load(machine: Machine) -> Move | None:
    """The move under way, or None."""
    found = machine.run(["cat", FILE], accept=(0, 1))
    return Move.model_validate_json(found.stdout) if found.ok else None


def under_way(machine: Machine) -> Move:
    """The move under way. Raises OperatorError where there is none."""
    found = load(machine)
    if found is None:
        raise OperatorError(
            f"No move is under way: {machine.name} has no {FILE}.",
            NOTHING_CHANGED,
            "python -m ops migrate plan …",
        )
    return found


def require_none(machine: Machine) -> None:
    """Raises OperatorError while a move is under way."""
    found = load(machine)
    if found is not None:
        raise OperatorError(
            f"A move from {found.host} is under way already.",
            NOTHING_CHANGED,
            f"{STATUS}   ({ABORT} takes it back)",
        )


def done_bytes(progress: str, total: int) -> int | None:
    """How many bytes of a database's `total` are copied, by the copying program's own file.
    None while that is not known."""
    try:
        found = json.loads(progress)
    except ValueError:
        return None
    if not found["bytes"]:
        return None
    return int(total * found["done_bytes"] / found["bytes"])
