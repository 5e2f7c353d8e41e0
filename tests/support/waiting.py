"""Waiting for what takes as long as it takes, on a machine that has other work as well."""

import time
from collections.abc import Callable


def eventually(what: str, ready: Callable[[], bool], timeout_s: float = 60) -> float:
    """Wait until `ready`; the seconds it took. Fails, naming `what`, after `timeout_s`."""
    began = time.monotonic()
    while not ready():
        assert time.monotonic() < began + timeout_s, (
            f"timed out after {timeout_s} s waiting for: {what}"
        )
        time.sleep(0.2)
    return time.monotonic() - began
