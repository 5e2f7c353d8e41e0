"""Files cloned on their file system: a clone shares its blocks with the original until either is
written, so that it takes a moment and no room, whatever its size."""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

# linux/fs.h
_FICLONE = 0x40049409


class Cloned(NamedTuple):
    """How much was cloned."""

    files: int
    bytes: int


def everything(_: str) -> bool:
    """Wants each file, and the content of each folder."""
    return True


def clone(
    source: Path,
    target: Path,
    wanted: Callable[[str], bool] = everything,
    *,
    in_use: bool = False,
) -> Cloned:
    """Clone the files below `source` into `target`, which is made, for this process's user alone.
    `wanted` is asked for each path below `source`; of a folder that is not wanted the folder itself
    comes all the same. Links are left out. Of a source that is `in_use`, what vanishes meanwhile
    does not come; of any other that is an error. Raises OSError: EXDEV or EOPNOTSUPP where the file
    system cannot."""
    return _clone(source, target, "", wanted, FileNotFoundError if in_use else ())


# What `except` takes: the errors that are none.
Tolerated = type[OSError] | tuple[()]


def _clone(
    source: Path, target: Path, below: str, wanted: Callable[[str], bool], tolerated: Tolerated
) -> Cloned:
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    files = size = 0
    try:
        entries = os.scandir(source)
    except tolerated:
        return Cloned(0, 0)
    with entries:
        for entry in entries:
            path, to = f"{below}{entry.name}", target / entry.name
            if entry.is_symlink():
                continue
            if entry.is_dir():
                if wanted(path):
                    within = _clone(source / entry.name, to, f"{path}/", wanted, tolerated)
                    files, size = files + within.files, size + within.bytes
                else:
                    to.mkdir(mode=0o700, exist_ok=True)
            elif wanted(path) and (cloned := _file(source / entry.name, to, tolerated)) is not None:
                files, size = files + 1, size + cloned
    return Cloned(files, size)


def _file(source: Path, target: Path, tolerated: Tolerated) -> int | None:
    """Its size; None where it is no longer there, and that is tolerated."""
    try:
        original = os.open(source, os.O_RDONLY)
    except tolerated:
        return None
    try:
        copy = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            _share(copy, original, source)
            return os.fstat(copy).st_size
        finally:
            os.close(copy)
    finally:
        os.close(original)


def _share(copy: int, original: int, name: Path) -> None:
    try:
        fcntl.ioctl(copy, _FICLONE, original)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(name)) from None
