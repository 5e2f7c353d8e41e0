"""What PostgreSQL's processes show of themselves, while the server answers the guard nothing.

Each writes into its title what it does (`update_process_title`, on by default): a WAL sender up to
where it has sent, a session the position that its commit waits for (syncrep.c, walsender.c).
"""

import os
import re
import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from host.domain.processes import ROLE, entries

PROC = Path("/proc")
_SENDER = re.compile(rf"walsender {ROLE} .*streaming [0-9A-F]+/[0-9A-F]+$")
_WAITING = re.compile(r" waiting for ([0-9A-F]+/[0-9A-F]+)$")


@dataclass(frozen=True)
class Wait:
    """A commit that waits for Barman: the session's process, and the position."""

    pid: int
    lsn: str


@dataclass(frozen=True)
class Shown:
    """`receiver`: WAL is being sent to Barman's receiver."""

    receiver: bool = False
    waits: frozenset[Wait] = frozenset()


def postmaster(socket_path: str) -> int | None:
    """The process that serves the socket; None when there is none."""
    try:
        pid = int(Path(f"{socket_path}.lock").read_text().split()[0])
        os.kill(pid, 0)
    except (OSError, ValueError, IndexError):
        return None
    return pid


def look(parent: int, proc: Path = PROC) -> Shown:
    """The titles of the postmaster's children."""
    receiver, waits = False, set[Wait]()
    for pid, title in _children(parent, proc):
        receiver = receiver or _SENDER.search(title) is not None
        waiting = _WAITING.search(title)
        if waiting:
            waits.add(Wait(pid, waiting[1]))
    return Shown(receiver, frozenset(waits))


def reload(parent: int) -> None:
    """Have the configuration read again; never fails."""
    with suppress(OSError):
        os.kill(parent, signal.SIGHUP)


def cancel(waits: Iterable[Wait]) -> None:
    """End these waits, as pg_cancel_backend does; never fails."""
    for wait in waits:
        with suppress(OSError):
            os.kill(wait.pid, signal.SIGINT)


def _children(parent: int, proc: Path) -> Iterator[tuple[int, str]]:
    for entry in entries(proc):
        with suppress(OSError):
            # The second field is a name in brackets, which may hold anything.
            state = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(state[1]) == parent:
                yield int(entry.name), (entry / "cmdline").read_text(errors="replace").rstrip("\0 ")
