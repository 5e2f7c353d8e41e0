"""One run at a time: a lock on the Barman machine that lives as long as this program does."""

import shlex
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import paramiko

from host.domain.paths import RUNBOOKS
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import shell
from ops.reach.ssh import CONNECT_TIMEOUT_S, ConnectionLost, Machine

BEAT_S = 15
# A laptop that closes sends nothing; without a beat for this long the lock expires.
SILENCE_S = 60
# How ops/reach/scripts/hold-lock.sh begins to say whose it is.
HELD = "held by "


class Lock:
    """The lock while it is held; where this computer has slept, it may be no more."""

    def __init__(self, machine: Machine, channel: paramiko.Channel) -> None:
        self._machine, self._channel = machine, channel

    def require(self) -> None:
        """Raises ConnectionLost unless it is still held: another runbook may have begun."""
        if self._channel.closed or self._channel.exit_status_ready():
            raise ConnectionLost(
                f"the lock on {self._machine.name} has expired: this program was silent for more "
                f"than {SILENCE_S} s, as when a computer sleeps"
            )


@contextmanager
def held(machine: Machine, who: str) -> Iterator[Lock]:
    """Hold the lock as `who`. Raises OperatorError naming the holder when there is one."""
    command = shlex.join(["sudo", "-n", *shell.argv("hold-lock", RUNBOOKS, str(SILENCE_S), who)])
    try:
        channel = machine.transport.open_session(timeout=CONNECT_TIMEOUT_S)
        channel.exec_command(command)
        channel.settimeout(CONNECT_TIMEOUT_S)
        lines = (line.strip() for line in channel.makefile("r"))
        # A login shell may print something before.
        answer = next((line for line in lines if line == "locked" or line.startswith(HELD)), "")
    except (paramiko.SSHException, OSError) as error:
        raise ConnectionLost(f"the connection to {machine.name} was lost: {error}") from error
    if answer != "locked":
        channel.close()
        raise OperatorError(
            f"Another runbook is at work on {machine.name}: {answer.removeprefix(HELD)}.",
            NOTHING_CHANGED,
            next_command="wait for it; if it was killed, the lock is free a minute later",
        )
    stop = threading.Event()
    beat = threading.Thread(target=_beat, args=(channel, stop), daemon=True)
    beat.start()
    try:
        yield Lock(machine, channel)
    finally:
        stop.set()
        channel.close()


def _beat(channel: paramiko.Channel, stop: threading.Event) -> None:
    while not stop.wait(BEAT_S):
        try:
            channel.sendall(b"\n")
        except OSError:
            return
