"""How far WAL really is on Barman's disk, read from the files themselves. No Barman, no server."""

import re
import struct
from collections import deque
from pathlib import Path

PAGE = 8192
# magic, info, timeline, address, bytes that remain of a record begun before
_PAGE_HEADER = struct.Struct("<HHIQI")
_SHORT_HEADER, _LONG_HEADER, _HAS_LONG_HEADER = 24, 40, 0x0002
# total length, (transaction, previous), info, resource manager
_RECORD_HEADER = struct.Struct("<I4x8xBB")
_RM_XLOG, _XLOG_SWITCH = 0, 0x40
_STREAMED = re.compile(r"([0-9A-F]{24})(\.partial)?")


def start_of(name: str, segment_size: int) -> int:
    """The WAL position, in bytes, at which the segment of this file name begins."""
    return int(name[8:16], 16) * 2**32 + int(name[16:24], 16) * segment_size


def position(text: str) -> int:
    """A WAL position such as 0/3000028 in bytes."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def received(directory: Path, segment_size: int) -> int | None:
    """Up to where the newest timeline's WAL is in the receiver's `directory`, in bytes; None if
    there is none."""
    names = [entry.name for entry in directory.iterdir() if _STREAMED.fullmatch(entry.name)]
    # Without `.partial` a segment is complete, and sorts before its own partial file.
    for name in sorted(names, reverse=True):
        start = start_of(name, segment_size)
        if not name.endswith(".partial"):
            return start + segment_size
        try:
            return start + content_end(directory / name, start)
        except FileNotFoundError:
            # It was completed between the two looks.
            return start + segment_size
    return None


def content_end(path: Path, start: int) -> int:
    """Where the last record in a zero-padded segment ends, in bytes from its beginning.

    Follows the page and record layout that PostgreSQL has had since 9.5.
    """
    with path.open("rb") as stream:
        stream.seek(0, 2)
        low, high = 0, stream.tell() // PAGE
        segment_size = stream.tell()
        while low < high:
            middle = (low + high) // 2
            stream.seek(middle * PAGE)
            magic, _, _, address, _ = _PAGE_HEADER.unpack(stream.read(_PAGE_HEADER.size))
            if magic and address == start + middle * PAGE:
                low = middle + 1
            else:
                high = middle
        if low == 0:
            return 0
        stream.seek((low - 1) * PAGE)
        end = _records_end(stream.read(PAGE))
    # What follows a forced switch is zeros up to the end, as far as the server is concerned.
    return segment_size if end is None else (low - 1) * PAGE + end


def _records_end(page: bytes) -> int | None:
    """Where the last record of a page ends; None if it is a switch to the next segment."""
    _, info, _, _, remaining = _PAGE_HEADER.unpack_from(page)
    at = _LONG_HEADER if info & _HAS_LONG_HEADER else _SHORT_HEADER
    at += _aligned(remaining)
    while at + _RECORD_HEADER.size <= PAGE:
        length, record_info, manager = _RECORD_HEADER.unpack_from(page, at)
        if length == 0:
            break
        if manager == _RM_XLOG and record_info & 0xF0 == _XLOG_SWITCH:
            return None
        at += _aligned(length)
    return min(at, PAGE)


def _aligned(length: int) -> int:
    return (length + 7) & ~7


class Lag:
    """For how long what the server had flushed has not been on Barman's disk."""

    def __init__(self) -> None:
        self._awaited: deque[tuple[float, int]] = deque()

    def seconds(self, now: float, server: int, disk: int) -> float:
        """`now` is a clock that never jumps; both positions in bytes, the server's read first."""
        if not self._awaited or server > self._awaited[-1][1]:
            self._awaited.append((now, server))
        elif server < self._awaited[-1][1]:
            # Another timeline, restored from before: what was awaited will never come.
            self._awaited = deque([(now, server)])
        while self._awaited and disk >= self._awaited[0][1]:
            self._awaited.popleft()
        return now - self._awaited[0][0] if self._awaited else 0.0
