"""Shell scripts from this checkout (scripts/), run on a machine: sent along, nothing installed."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files

from ops.reach.ssh import COMMAND_TIMEOUT_S, CommandFailed, Machine, Result


def argv(name: str, *arguments: str) -> list[str]:
    """The command that runs scripts/NAME.sh with `arguments`, by the shell of its first line.

    The lines of comment at its beginning stay here: whoever looks for a process by its command
    line is not to find words of explanation.
    """
    first, *lines = (files("ops.reach") / "scripts" / f"{name}.sh").read_text().splitlines()
    while lines[0].startswith("#"):
        del lines[0]
    return [first.rpartition("/")[2], "-c", "\n".join(lines), name, *arguments]


def run(
    machine: Machine,
    name: str,
    *arguments: str,
    user: str = "root",
    stdin: str | bytes = b"",
    timeout_s: float = COMMAND_TIMEOUT_S,
    accept: Sequence[int] | None = (0,),
) -> Result:
    """Run scripts/NAME.sh with `arguments` on `machine`, like any command (Machine.run).

    Secrets belong in `stdin`, never in `arguments`. Raises CommandFailed, which names the script
    instead of repeating it, or ConnectionLost.
    """
    command = argv(name, *arguments)
    try:
        return machine.run(command, user=user, stdin=stdin, timeout_s=timeout_s, accept=accept)
    except CommandFailed as error:
        called = shlex.join([f"{name}.sh", *arguments])
        raise CommandFailed(error.machine, replace(error.result, command=called)) from None


def write_file(
    machine: Machine, path: str, text: str, *, mode: str = "", user: str = "root"
) -> None:
    """Write `text` to the file `path`; its mode is `mode` (octal), or what it was, or 0644."""
    run(machine, "write-file", path, mode, user=user, stdin=text)
