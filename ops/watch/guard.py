"""The durability guard as its process runs, not as its file has it."""

import json
from typing import NamedTuple

from host.durability_guard.decision import UNSEEN
from ops.reach import glance
from ops.reach.glance import Glance
from ops.reach.ssh import Machine

UNIT = "durability-guard"
# It looks once a second, and waits for PostgreSQL's answer for some.
SILENT_S = 15.0
STATUS = "/run/durability-guard/status.json"


class Guard(NamedTuple):
    """`level` and `fallback_after_s`: what it runs at; None where it has looked at nothing for
    SILENT_S. `blind`: why it cannot ask the server, which runs; None where it can."""

    level: str | None = None
    fallback_after_s: float | None = None
    blind: str | None = None


def read(machine: Machine) -> Guard:
    """What it says of itself, on PostgreSQL's machine."""
    return seen_in(glance.take(machine, STATUS))


def seen_in(found: Glance) -> Guard:
    """The same, of a machine that was looked at, and into STATUS."""
    try:
        said = json.loads(found.files[STATUS])
        level, fallback_after_s = said["level"], said["fallback_after_s"]
        server, problem = said["look"]["server"], said["problem"]
        ago_s = found.clock_s - said["look"]["now"]
    except (ValueError, KeyError, TypeError):
        return Guard()
    if not 0 <= ago_s <= SILENT_S:
        return Guard()
    return Guard(level, fallback_after_s, problem if server in UNSEEN else None)
