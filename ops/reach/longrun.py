"""Long work on a machine as a systemd unit of its own: it outlives the connection, and a later
run finds it again by name."""

import re
import time
from collections.abc import Callable, Sequence

from ops.errors import OperatorError
from ops.reach import shell
from ops.reach.ssh import Machine

# Short work is noticed soon, long work is not asked about more often than it needs.
FIRST_POLL_S, LONGEST_POLL_S = 0.2, 2.0
_SIGNAL = 128
_TROUBLE = re.compile(r"error|failed|fatal|no space|denied|refused", re.IGNORECASE)


def run(
    machine: Machine,
    unit: str,
    argv: Sequence[str],
    log: str,
    *,
    user: str,
    adopt: bool,
    tick: Callable[[float], None],
    longest_poll_s: float = LONGEST_POLL_S,
) -> str:
    """Run `argv` to its end and return its output; `tick` is called with the seconds so far. The
    end is noticed after `longest_poll_s` at most.

    `log` is a path in a directory that `user` may write to. With `adopt`, work of this name that is
    still running, or has ended well, is taken instead of started again. Raises OperatorError.
    """
    started = time.monotonic()
    state = state_of(machine, unit, log) if adopt else ""
    if state not in ("active", "activating", "0"):
        start(machine, unit, argv, log, user=user)
        state = state_of(machine, unit, log)
    pause = FIRST_POLL_S
    while state in ("active", "activating", "deactivating"):
        tick(time.monotonic() - started)
        time.sleep(pause)
        pause = min(pause * 1.2, longest_poll_s)
        state = state_of(machine, unit, log)
    output = machine.run(["cat", log], accept=(0, 1)).stdout
    if state != "0":
        name = " ".join(word for word in argv[:2] if not word.startswith("-"))
        raise OperatorError(
            f"{name} on {machine.name} failed ({_why(state)}): {complaint(output)}",
            state=f"Whatever it did on {machine.name} before it failed was not undone.",
        )
    return output


def _why(state: str) -> str:
    """What a state at the end means; the shell's codes above 128 are of signals."""
    if not state.isdigit():
        return "it was killed or the machine rebooted"
    return (
        f"exit code {state}"
        if int(state) <= _SIGNAL
        else f"killed by signal {int(state) - _SIGNAL}"
    )


def complaint(output: str) -> str:
    """The lines of a long output that sound like trouble, or else its end."""
    lines = [line for line in output.splitlines() if _TROUBLE.search(line)]
    return "\n".join(lines[:10])[:1500] or output.strip()[-1500:]


def start(machine: Machine, unit: str, argv: Sequence[str], log: str, *, user: str) -> None:
    """Start the work; whatever of the same name still runs is stopped first."""
    stop(machine, unit)
    machine.run(["rm", "-f", log, f"{log}.status"])
    machine.run(
        [
            *("systemd-run", "--quiet", "--collect", f"--unit={unit}", f"--uid={user}"),
            *("--property=WorkingDirectory=/", *shell.argv("run-logged", log, *argv)),
        ]
    )


def stop(machine: Machine, unit: str) -> None:
    """Stop the work, if there is any."""
    machine.run(["systemctl", "stop", unit], accept=None)


def state_of(machine: Machine, unit: str, log: str) -> str:
    """systemd's word while it runs, then its exit code; `inactive` if it was killed."""
    return shell.run(machine, "unit-state", log, unit).stdout.strip()
