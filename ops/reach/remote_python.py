"""Python from this checkout, run on a machine: sent over standard input, nothing installed."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from host.bundle import LOADER, PYTHON, bundle
from ops.reach import longrun, shell
from ops.reach.ssh import Machine


def call(
    machine: Machine,
    module: str,
    arguments: Sequence[Any],
    *,
    user: str = "root",
    timeout_s: float = 120,
) -> Any:
    """Run main of `module`, a dotted name, with `arguments` on `machine`; what it prints, from
    JSON, or None."""
    result = machine.run(
        list(PYTHON), user=user, stdin=bundle(module, *arguments), timeout_s=timeout_s
    )
    return json.loads(result.stdout) if result.stdout else None


def call_as_unit(
    machine: Machine,
    unit: str,
    folder: str,
    module: str,
    arguments: Sequence[Any],
    tick: Callable[[float], None],
) -> Any:
    """The same as a systemd unit, which outlives the connection: one that is under way, or has
    ended well, is adopted. `folder` is for its files, in /run: a reboot ends it. `tick` is called
    with the seconds so far. Raises OperatorError."""
    sent, loader, log = (f"{folder}/{name}" for name in ("sent.json", "loader.py", f"{unit}.log"))
    machine.run(["mkdir", "-p", folder])
    shell.write_file(machine, loader, LOADER)
    shell.write_file(machine, sent, bundle(module, *arguments))
    argv = shell.argv("with-input", sent, "/usr/bin/python3", "-I", loader)
    said = longrun.run(machine, unit, argv, log, user="root", adopt=True, tick=tick)
    machine.run(["rm", "-f", sent, loader, log, f"{log}.status"])
    return json.loads(said.splitlines()[-1])
