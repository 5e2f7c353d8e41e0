"""A WAL file out of Barman, for a server that replays: there, missing, damaged or out of reach.

`barman get-wal` ends with 1 for a file that it does not have, for a damaged one, for a disk that is
not mounted and for a crash (3.13 to 3.20). PostgreSQL takes 1 for the end of the WAL and promotes.
"""

import os
import re
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from host.domain.compression import START, readable
from host.domain.paths import BARMAN_GET_WAL, MOUNT_POINT
from host.domain.wal import DIRECTORY, PARTIAL

# How files/barman-get-wal ends, beside Barman's own 0, 2 and 3.
MISSING, DAMAGED, UNSEEN = 1, 4, 5
# Barman's own for what is no WAL file's name.
NO_NAME = 3
# How restore_command ends when there is no telling that the WAL ends: PostgreSQL stops at more than
# 125 (its RestoreArchivedFile), logs the code, and can be started again.
STOPPED_BY_DAMAGE, STOPPED_BY_OUTAGE = 254, 255

NAME = re.compile(r"[0-9A-F]{24}(\.partial|\.[0-9A-F]{8}\.backup)?|[0-9A-F]{8}\.history")
_PIECE = 2**18


def places(server: Path, name: str, *, partial: bool) -> list[Path]:
    """Every path at which Barman looks for the file `name` of the server whose folder is `server`,
    in its order (Server.get_wal_possible_paths): what moves on while it looks is met further on.
    `partial`: segments that are still being received count."""
    directory = name[:16] if DIRECTORY.fullmatch(name[:16]) else ""
    archived, incoming, streaming = (
        server / folder / name for folder in (f"wals/{directory}", "incoming", "streaming")
    )
    growing = (
        [_partial(streaming), streaming, _partial(archived), _partial(incoming)] if partial else []
    )
    return [archived, incoming, streaming, *growing, archived]


def _partial(path: Path) -> Path:
    return path.with_name(f"{path.name}{PARTIAL}")


def held(server: Path, name: str, *, partial: bool, mount_point: str = MOUNT_POINT) -> bool | None:
    """Whether Barman has the file; None where that cannot be seen, for its disk is not mounted or
    fails."""
    if not os.path.ismount(mount_point):
        return None
    try:
        (server / "wals").stat()
        found = any(_exists(place) for place in places(server, name, partial=partial))
    except OSError:
        return None
    # What is unmounted meanwhile looks empty.
    return found if os.path.ismount(mount_point) else None


def _exists(path: Path) -> bool:
    """Raises OSError where that cannot be seen, of which Path.exists knows nothing."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def send(
    server: Path,
    name: str,
    write: Callable[[bytes], object],
    *,
    partial: bool,
    mount_point: str = MOUNT_POINT,
) -> int:
    """Hand the file to `write`, piece by piece, as it is archived where whoever gets it can read
    that (compression.readable), otherwise as Barman has read it. Returns how barman-get-wal ends;
    what was written counts only with 0. Raises what `write` raises."""
    if not NAME.fullmatch(name):
        return NO_NAME
    try:
        file = _opened(server, name, partial=partial)
    except OSError:
        return _through_barman(server, name, write, partial=partial)
    if file is None:
        missing = held(server, name, partial=partial, mount_point=mount_point) is False
        return MISSING if missing else UNSEEN
    with file:
        piece = _read(file)
        if piece is not None and not readable(piece[:START]):
            return _through_barman(server, name, write, partial=partial)
        while piece:
            write(piece)
            piece = _read(file)
    return DAMAGED if piece is None else 0


def _opened(server: Path, name: str, *, partial: bool) -> BinaryIO | None:
    """Raises OSError where there is a file, or may be one, that cannot be opened."""
    for place in places(server, name, partial=partial):
        with suppress(FileNotFoundError, NotADirectoryError):
            return place.open("rb", buffering=0)
    return None


def _read(file: BinaryIO) -> bytes | None:
    """The next piece, empty at the end; None where the disk does not give it."""
    try:
        return file.read(_PIECE)
    except OSError:
        return None


def _through_barman(
    server: Path, name: str, write: Callable[[bytes], object], *, partial: bool
) -> int:
    """For a file that was there just now: that Barman lacks it does not count."""
    flags = ["--partial"] if partial else []
    words = [BARMAN_GET_WAL, *flags, server.name, name]
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        while process.stdout and (piece := process.stdout.read(_PIECE)):
            write(piece)
    return UNSEEN if process.returncode < 0 or process.returncode == MISSING else process.returncode
