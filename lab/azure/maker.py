"""Names of processes that stay true: a number alone may come back as another process."""

import os
from pathlib import Path


def me() -> str:
    """This process."""
    return f"{os.getpid()}:{_started(os.getpid())}"


def alive(name: str) -> bool:
    """Whether the process of that name still runs."""
    number, _, started = name.partition(":")
    return number.isdigit() and bool(started) and _started(int(number)) == started


def _started(pid: int) -> str:
    """Ticks since boot at which a process started; empty if there is none."""
    try:
        # The second field, the program's name in parentheses, may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
