"""What it takes for a change to be on the disk."""

import ctypes
import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Force the names in a directory to the disk: a file that was moved there, or removed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file_system(descriptor: int) -> None:
    """Force the file system to the disk, of which a file is open (syncfs(2)). Raises OSError."""
    if ctypes.CDLL(None, use_errno=True).syncfs(descriptor):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
