"""Whether each machine has what the stack's last update brought there."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from host.domain.paths import CONVERGED_PROGRAMS
from ops.model import Reason
from ops.reach.ssh import Machine
from ops.watch.reasons import degraded

NEXT = "pulumi up; where that has nothing to do: python -m ops apply"


def read(machine: Machine) -> dict[str, dict[str, str]]:
    """What each program (host/programs) was `asked` for last, and what it brought about
    (`in_force`), as digests; and why it did not get there (`refused`)."""
    said = machine.run(["cat", CONVERGED_PROGRAMS], accept=(0, 1)).stdout
    return json.loads(said or "{}")


def judge(name: str, stack: Mapping[str, str], seen: Mapping[str, Any]) -> Iterator[Reason]:
    """A reason for each program of machine `name` that is not where the stack is."""
    for program, wanted in stack.items():
        there = seen.get(program, {})
        if there.get("in_force") == wanted == there.get("asked"):
            continue
        if there.get("asked") == there.get("in_force"):
            text = f"{name} ({program}) is not as the last update that went through has left it"
        elif why := there.get("refused"):
            text = f"an update of {name} ({program}) ended with: {' '.join(why.split())}"
        else:
            text = f"an update of {name} ({program}) was begun and did not end"
        yield degraded(text, NEXT)
