"""The disk's reserve: a copy beside the running server ends before that one suffers."""

import os
import time
from typing import Any

from host.restored_copy.copy import Copy
from host.restored_copy.server import Failed, Server

POLL_S = 1.0


def main(document: dict[str, Any], reserve: int) -> None:
    """Watch a copy for as long as it runs, and stop it once less than `reserve` bytes are free."""
    copy = Copy(**document)
    server = Server(copy)
    while server.running():
        try:
            require_reserve(copy, reserve)
        except Failed as failed:
            print(f"{copy.unit} is stopped: {failed}", flush=True)
            server.stop()
        time.sleep(POLL_S)


def require_reserve(copy: Copy, reserve: int) -> None:
    """Raises Failed when less than `reserve` bytes are free on the copy's disk."""
    disk = os.statvfs(copy.folder)
    if disk.f_bavail * disk.f_frsize < reserve:
        raise Failed("free space at /data fell below what the running server must have")
