"""Losing what a machine has not yet written out.

Killing all processes of a machine is no power cut: the file system under them is this host's, and
unmounting it would save every page the machine never synced. So the file system is shut down first.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable
from pathlib import Path

# ext4, XFS and F2FS share this request: from now on nothing more reaches the device, not even the
# journal; the next mount recovers as after a power failure.
_SHUTDOWN = 0x8004587D
_WITHOUT_LOG_FLUSH = struct.pack("I", 2)


def drop_unwritten(leader: int, devices: Iterable[Path]) -> None:
    """Shut down every file system on `devices` that the machine with init `leader` has mounted."""
    numbers = {device.stat().st_rdev for device in devices}
    for line in Path(f"/proc/{leader}/mountinfo").read_text().splitlines():
        _, _, number, _, where, *_ = line.split()
        major, _, minor = number.partition(":")
        if os.makedev(int(major), int(minor)) not in numbers:
            continue
        inside = where.encode().decode("unicode_escape").lstrip("/")
        handle = os.open(Path(f"/proc/{leader}/root", inside), os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(handle, _SHUTDOWN, _WITHOUT_LOG_FLUSH)
        finally:
            os.close(handle)
