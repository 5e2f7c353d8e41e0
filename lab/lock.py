"""One command at a time works on a lab; the second learns who is ahead of it."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from lab.shell import LabError


class BusyError(LabError):
    """Another command of this lab is running; the text names its process."""


@contextlib.contextmanager
def hold(directory: Path, command: str) -> Iterator[None]:
    """Hold the lab in `directory` for `command` ("up", "down"). Raises BusyError at once.

    The kernel drops the lock when its holder dies, however it dies: there is no stale lock.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "command.lock").open("a+") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.seek(0)
            holder = held.read().strip() or "another command"
            raise BusyError(
                f"{holder} is already working on this lab. Nothing was changed.\n"
                "Wait until it has finished, then type the same command again."
            ) from None
        held.truncate(0)
        held.write(f"lab {command} (process {os.getpid()})")
        held.flush()
        yield
