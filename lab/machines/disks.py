"""Managed disks: sparse files, attached as loop devices. Nothing here formats anything."""

from __future__ import annotations

import time
from pathlib import Path

from lab.shell import LabError, run

GIB = 1024**3
_DETACH_SECONDS = 30


def create(path: Path, size_gib: int) -> None:
    """An empty disk of `size_gib` GiB that takes up room only as it is written to.

    Leaves an existing disk of that size alone. Raises LabError if it has another size.
    """
    if path.exists():
        if path.stat().st_size != size_gib * GIB:
            raise LabError(f"{path} exists with another size: nothing was changed")
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as disk:
        path.chmod(0o600)
        disk.truncate(size_gib * GIB)


def grow(path: Path, size_gib: int) -> None:
    """Make the disk larger; a machine that has it attached sees it at once. Raises LabError if the
    disk is larger already."""
    if path.stat().st_size > size_gib * GIB:
        raise LabError(f"{path} is larger than {size_gib} GiB, and a disk cannot shrink")
    with path.open("r+b") as disk:
        disk.truncate(size_gib * GIB)
    device = attached(path)
    if device:
        run(["losetup", "--set-capacity", device])


def attached(path: Path) -> Path | None:
    """The loop device the disk is attached to, if it is."""
    asked = ["losetup", "--noheadings", "--output", "NAME", "--associated", path]
    listed = run(asked).stdout.split()
    return Path(listed[0]) if listed else None


def attach(path: Path) -> Path:
    """The disk's loop device, attached first if need be. The number may differ each time."""
    device = attached(path)
    if device is None:
        if not path.exists():
            raise LabError(f"disk {path} does not exist")
        device = Path(run(["losetup", "--find", "--show", path]).stdout.strip())
    return device


def detach(path: Path) -> None:
    """Take the disk off its loop device and wait until nothing writes to it any more."""
    deadline = time.monotonic() + _DETACH_SECONDS
    while device := attached(path):
        # A device still in use is let go of by the kernel when its last user is gone; attaching
        # the file a second time before that would let two writers at it.
        run(["losetup", "--detach", device], check=False)
        if not attached(path):
            return
        if time.monotonic() > deadline:
            raise LabError(f"disk {path} is still in use on {device}")
        time.sleep(0.05)


def delete(path: Path) -> None:
    """Detach the disk and destroy what is on it. Idempotent."""
    if path.exists():
        detach(path)
        path.unlink()
