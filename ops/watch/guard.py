"""The durability guard as its process runs, not as its file has it."""

import json
from typing import NamedTuple

from host.durability_guard.decision import UNSEEN
from ops.reach.ssh import Machine

UNIT = "durability-guard"
# It looks once a second, and waits for PostgreSQL's answer for some.
SILENT_S = 15.0
_READ = """
import json, time
try:
    with open("/run/durability-guard/status.json") as file:
        seen = json.load(file)
    print(json.dumps({
        "level": seen["level"],
        "fallback_after_s": seen["fallback_after_s"],
        "ago_s": time.monotonic() - seen["look"]["now"],
        "server": seen["look"]["server"],
        "problem": seen["problem"],
    }))
except (OSError, ValueError, KeyError):
    print("null")
"""


class Guard(NamedTuple):
    """`level` and `fallback_after_s`: what it runs at; None where it has looked at nothing for
    SILENT_S. `blind`: why it cannot ask the server, which runs; None where it can."""

    level: str | None = None
    fallback_after_s: float | None = None
    blind: str | None = None


def read(machine: Machine) -> Guard:
    """What it says of itself, on PostgreSQL's machine."""
    said = machine.run(["python3", "-I", "-"], stdin=_READ, timeout_s=20).stdout
    seen = json.loads(said)
    if seen and 0 <= seen["ago_s"] <= SILENT_S:
        blind = seen["problem"] if seen["server"] in UNSEEN else None
        return Guard(seen["level"], seen["fallback_after_s"], blind)
    return Guard()
