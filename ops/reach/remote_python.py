"""Python from this checkout, run on a machine: sent over standard input, nothing installed."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from host.bundle import LOADER, PYTHON, bundle
from ops.reach import longrun, shell
from ops.reach.ssh import CommandFailed, Machine


def call(
    machine: Machine,
    module: str,
    arguments: Sequence[Any],
    *,
    user: str = "root",
    timeout_s: float = 120,
) -> Any:
    """Run main of `module`, a dotted name, with `arguments` on `machine`; what it prints, from
    JSON, or None. Raises CommandFailed, which names the module, or ConnectionLost."""
    sent = bundle(module, *arguments)
    try:
        result = machine.run(list(PYTHON), user=user, stdin=sent, timeout_s=timeout_s)
    except CommandFailed as error:
        raise CommandFailed(error.machine, replace(error.result, command=module)) from None
    return json.loads(result.stdout) if result.stdout else None


def call_as_unit(
    machine: Machine,
    unit: str,
    folder: str,
    module: str,
    arguments: Sequence[Any],
    tick: Callable[[float], None],
    longest_poll_s: float = longrun.LONGEST_POLL_S,
) -> Any:
    """The same as a systemd unit, which outlives the connection: one that is under way, or has
    ended well, is adopted. `folder` is for its files, in /run: a reboot ends it. `tick` is called
    with the seconds so far. Raises OperatorError."""
    argv, files = _send(machine, unit, folder, module, arguments)
    said = longrun.run(
        machine,
        unit,
        argv,
        files[-1],
        user="root",
        adopt=True,
        tick=tick,
        longest_poll_s=longest_poll_s,
    )
    machine.run(["rm", "-f", *files, f"{files[-1]}.status"])
    return json.loads(said.splitlines()[-1])


def start_as_unit(
    machine: Machine, unit: str, folder: str, module: str, arguments: Sequence[Any]
) -> None:
    """The same, and nobody waits for it."""
    argv, files = _send(machine, unit, folder, module, arguments)
    longrun.start(machine, unit, argv, files[-1], user="root")


def _send(
    machine: Machine, unit: str, folder: str, module: str, arguments: Sequence[Any]
) -> tuple[list[str], list[str]]:
    """The command that runs the module, and its files there, of which the last one is its log."""
    sent, loader, log = (f"{folder}/{unit}.{suffix}" for suffix in ("json", "py", "log"))
    machine.run(["mkdir", "-p", folder])
    shell.write_file(machine, loader, LOADER)
    shell.write_file(machine, sent, bundle(module, *arguments))
    return shell.argv("with-input", sent, "/usr/bin/python3", "-I", loader), [sent, loader, log]
