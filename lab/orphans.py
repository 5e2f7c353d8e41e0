"""Ends what a killed engine left running.

A plugin does not notice that its engine died: it would go on configuring machines while the next
`up` does the same, and outlive the lab after `down`.
"""

import contextlib
import os
import re
import signal
import time
from pathlib import Path

_PLUGIN = re.compile(r"pulumi-resource-|pulumi-language-|-m lab\.(azure|standins)\b")
_GRACE_SECONDS = 2.0


def end(home: Path) -> list[int]:
    """End the plugins of PULUMI_HOME `home` whose engine is dead; return their process ids."""
    found = find(home)
    for pid in found:
        _signal(pid, signal.SIGTERM)
    deadline = time.monotonic() + _GRACE_SECONDS
    while any(Path(f"/proc/{pid}").exists() for pid in found) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in found:
        _signal(pid, signal.SIGKILL)
    return found


def find(home: Path) -> list[int]:
    """Plugins that were started for `home` and have no living engine above them."""
    mark = f"PULUMI_HOME={home}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark not in (entry / "environ").read_bytes().split(b"\0"):
                continue
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # gone, or another user's
            continue
        # The lab's machines carry the same environment, and are meant to stay.
        if _PLUGIN.search(command) and not _has_engine(int(entry.name)):
            found.append(int(entry.name))
    return sorted(found)


def _has_engine(pid: int) -> bool:
    while pid > 1:
        try:
            name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        except OSError:
            return False
        if name.partition("(")[2] == "pulumi":
            return True
        pid = int(rest.split()[1])
    return False


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
