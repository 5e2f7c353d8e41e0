"""What it takes for a change to be on the disk."""

import os
from pathlib import Path


def sync_directory(path: Path) -> None:
    """Force the names in a directory to the disk: a file that was moved there, or removed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
