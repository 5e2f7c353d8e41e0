"""Python from this checkout, run on a machine: sent over standard input, nothing installed."""

import json
from collections.abc import Sequence
from typing import Any

from host.bundle import PYTHON, bundle
from ops.reach.ssh import Machine


def call(
    machine: Machine,
    name: str,
    arguments: Sequence[str],
    *,
    user: str = "root",
    timeout_s: float = 120,
) -> Any:
    """Run ops.onmachine.NAME's main with `arguments` on `machine`; what it prints, from JSON."""
    result = machine.run(
        list(PYTHON),
        user=user,
        stdin=bundle(f"ops.onmachine.{name}", *arguments),
        timeout_s=timeout_s,
    )
    return json.loads(result.stdout)
