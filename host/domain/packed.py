"""A base backup as pg_basebackup packs it: one compressed tar of the data directory and one of each
tablespace, beside the manifest. Read in one pass, nothing is unpacked to the disk.

Not with Python's tarfile, which takes a damaged header for the end of the archive.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from host.domain.manifest import Damaged

SUFFIX = ".tar.zst"
# The archive of the data directory; that of a tablespace is called by its OID.
BASE = "base"
# Where a data directory has the links of its tablespaces.
LINKS = "pg_tblspc"
_BUFFER = 2**20
_BLOCK = 512
_FILE, _FOLDER = (b"0", b"\0"), b"5"


class Unreadable(Damaged):
    """An archive cannot be read on."""


class Member(NamedTuple):
    """A file or a folder of an archive: its place in the data directory, as the manifest has it,
    its size in bytes and its permissions. `read` gives a file's content, at most so many bytes at a
    time, as long as the next member was not asked for; it raises Unreadable."""

    path: str
    is_file: bool
    size: int
    mode: int
    read: Callable[[int], bytes]


def archives(data: Path) -> dict[str, Path]:
    """The archives of the backup whose files are in `data`, by name: the data directory's first."""
    found = {path.name.removesuffix(SUFFIX): path for path in data.glob(f"*{SUFFIX}")}
    return dict(sorted(found.items(), key=lambda each: (each[0] != BASE, each[0])))


@contextmanager
def uncompressed(compressed: IO[bytes]) -> Iterator[IO[bytes]]:
    """What is in a compressed file, which is open without a buffer. Raises Unreadable at the end
    where that was cut off or is not what was compressed: until then nothing that was read
    counts."""
    command = ["zstd", "--decompress", "--stdout", "--quiet", "--no-progress"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, bufsize=_BUFFER, stdin=compressed, stdout=pipe, stderr=pipe
    ) as process:
        if process.stdout is None or process.stderr is None:
            raise AssertionError("pipes were asked for")
        cut_off: Unreadable | None = None
        try:
            yield process.stdout
        except Unreadable as error:
            cut_off = error
        except BaseException:
            process.kill()
            raise
        if process.stdout.read(1):
            # Not its end is what stopped the reader.
            process.kill()
            raise cut_off or Unreadable("there is more in it")
        complaint = process.stderr.read().decode(errors="replace").strip()
        if process.wait():
            raise Unreadable(complaint.rpartition("/*stdin*\\ : ")[2] or "zstd was ended")
        if cut_off:
            raise cut_off


def members(archive: str, stream: IO[bytes]) -> Iterator[Member]:
    """What is in the archive of this name, whose tar comes from `stream`, to its end. Raises
    Unreadable."""
    folder = "" if archive == BASE else f"{LINKS}/{archive}/"
    while any(header := _exactly(stream, _BLOCK)):
        member = _member(header, folder, stream)
        yield member
        while member.read(_BUFFER):
            pass
        _zeros(_exactly(stream, -member.size % _BLOCK))
    while piece := stream.read(_BUFFER):
        _zeros(piece)


def _member(header: bytes, folder: str, stream: IO[bytes]) -> Member:
    """From its header, as PostgreSQL writes it (tarCreateHeader)."""
    name, kind = header[:100].rstrip(b"\0"), header[156:157]
    if sum(header[:148]) + 8 * ord(" ") + sum(header[156:]) != _number(header[148:156]):
        raise Unreadable("a header does not match its checksum")
    path = PurePosixPath(folder + name.decode("utf-8", "surrogateescape"))
    if path.is_absolute() or ".." in path.parts:
        raise Unreadable(f'"{path}" lies outside of the data directory')
    if kind not in (*_FILE, _FOLDER):
        raise Unreadable(f'"{path}" is neither a file nor a folder')
    size = _number(header[124:136]) if kind in _FILE else 0
    left = size

    def read(most: int) -> bytes:
        nonlocal left
        piece = _exactly(stream, min(most, left))
        left -= len(piece)
        return piece

    return Member(str(path), kind in _FILE, size, _number(header[100:108]) & 0o7777, read)


def _number(field: bytes) -> int:
    """Raises Unreadable."""
    if field[0] & 0x80:
        return int.from_bytes(field[1:], "big")
    try:
        return int(field.rstrip(b" \0") or b"0", 8)
    except ValueError:
        raise Unreadable("a header is no tar's") from None


def _exactly(stream: IO[bytes], size: int) -> bytes:
    piece = stream.read(size)
    if len(piece) < size:
        raise Unreadable("it is cut off")
    return piece


def _zeros(padding: bytes) -> None:
    if any(padding):
        raise Unreadable("there is something where nothing should be")
