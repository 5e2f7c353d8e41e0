"""WAL read from its files: commits, restore points, and where the last record ends.

Reads the page and record layout that PostgreSQL has had since 9.5. pg_waldump shows the same, but
as text, every record of it, at a fifth of the speed; it checks each record's checksum, so whether
a segment is sound is for it to say (host/backup_verify).
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PAGE = 8192
SHORT_HEADER, LONG_HEADER = 24, 40
RECORD_HEADER = 24
# magic, info, timeline, address, bytes that remain of a record begun before
_PAGE_HEADER = struct.Struct("<HHIQI")
_HAS_LONG_HEADER = 0x0002
# total length, transaction, previous, info, resource manager
_RECORD_HEADER = struct.Struct("<IIQBB")
RM_XLOG, RM_XACT = 0, 1
XLOG_SWITCH, XLOG_RESTORE_POINT = 0x40, 0x70
XACT_OPERATION = 0x70
XACT_COMMIT, XACT_COMMIT_PREPARED = 0x00, 0x30
EPOCH_2000_S = 946684800


class Commit(NamedTuple):
    """A transaction that was committed: `time` in seconds since 1970, `lsn` where it ends."""

    lsn: int
    xid: int
    time: float


class RestorePoint(NamedTuple):
    """A named restore point (pg_create_restore_point): its record begins at `begin` and ends at
    `lsn`."""

    begin: int
    lsn: int
    name: str
    time: float


def scan(segment: bytes) -> Iterator[Commit | RestorePoint]:
    """Every commit and restore point whose record begins in `segment`, in order.

    `segment` may end in zeros or be cut off. A record that goes on in the next segment is left out,
    except that its commit time is given when the part that is here contains it.
    """
    stream, start = _without_headers(segment)
    at = start
    previous = None
    while at + RECORD_HEADER <= len(stream.data):
        length, xid, before, info, rmid = _RECORD_HEADER.unpack_from(stream.data, at)
        if length < RECORD_HEADER or (previous is not None and before != previous):
            return
        end = at + length
        if rmid == RM_XACT and info & XACT_OPERATION in (XACT_COMMIT, XACT_COMMIT_PREPARED):
            main = _main_data(stream.data, at + RECORD_HEADER, min(end, len(stream.data)))
            if main is not None and len(main) >= 8:
                yield Commit(stream.lsn(end), xid, _time(main))
        elif rmid == RM_XLOG and info & 0xF0 == XLOG_RESTORE_POINT:
            main = _main_data(stream.data, at + RECORD_HEADER, min(end, len(stream.data)))
            if main is not None and len(main) > 8:
                name = main[8:].split(b"\0", 1)[0].decode(errors="replace")
                yield RestorePoint(stream.lsn(at), stream.lsn(end), name, _time(main))
        elif rmid == RM_XLOG and info & 0xF0 == XLOG_SWITCH:
            return
        previous = stream.lsn(at)
        at = _aligned(end)


def continued(segment: bytes) -> int:
    """How many bytes from the segment's beginning are of a record that began before it, where none
    begins in what there is of it (a logical message may be longer than a segment); else 0."""
    if len(segment) < LONG_HEADER:
        return 0
    magic, _, _, base, left = _PAGE_HEADER.unpack_from(segment)
    for page in range(0, len(segment), PAGE):
        its_magic, _, _, address, remaining = _PAGE_HEADER.unpack_from(segment, page)
        if (its_magic, address, remaining) != (magic, base + page, left):
            return page
        room = PAGE - (SHORT_HEADER if page else LONG_HEADER)
        if _aligned(left) < room:
            return 0
        left = max(0, left - room)
    return len(segment)


def _time(main: bytes) -> float:
    return struct.unpack_from("<q", main)[0] / 1e6 + EPOCH_2000_S


class _Stream(NamedTuple):
    """A segment's bytes without page headers; `base` is the LSN of the segment's first byte."""

    data: bytes
    base: int

    def lsn(self, offset: int) -> int:
        """The LSN of the byte at `offset` of the stream."""
        first = PAGE - LONG_HEADER
        if offset < first:
            return self.base + LONG_HEADER + offset
        pages, rest = divmod(offset - first, PAGE - SHORT_HEADER)
        return self.base + (pages + 1) * PAGE + SHORT_HEADER + rest


def _without_headers(segment: bytes) -> tuple[_Stream, int]:
    """The stream, and the offset of the first record that begins in it."""
    if len(segment) < LONG_HEADER:
        return _Stream(b"", 0), 0
    magic, _, _, base, remaining = _PAGE_HEADER.unpack_from(segment)
    parts = []
    for page in range(0, len(segment), PAGE):
        if page + SHORT_HEADER > len(segment):
            break
        its_magic, _, _, address, _ = _PAGE_HEADER.unpack_from(segment, page)
        # A page that was not written yet, or is left over from a recycled segment, ends it.
        if its_magic != magic or address != base + page:
            break
        parts.append(segment[page + (SHORT_HEADER if page else LONG_HEADER) : page + PAGE])
    return _Stream(b"".join(parts), base), _aligned(remaining)


def _main_data(data: bytes, at: int, end: int) -> bytes | None:
    """The main data of a record without block references, which commits and points are."""
    while at < end:
        kind = data[at]
        if kind == 255:
            return data[at + 2 : min(at + 2 + data[at + 1], end)]
        if kind == 254:
            (length,) = struct.unpack_from("<I", data, at + 1)
            return data[at + 5 : min(at + 5 + length, end)]
        if kind == 253:
            at += 3
        elif kind == 252:
            at += 5
        else:
            return None
    return None


def content_end(path: Path, start: int) -> int:
    """Where the last record in a zero-padded segment ends, in bytes from its beginning; `start` is
    the segment's first position. Raises FileNotFoundError."""
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
    at = LONG_HEADER if info & _HAS_LONG_HEADER else SHORT_HEADER
    at += _aligned(remaining)
    while at + RECORD_HEADER <= PAGE:
        length, _, _, record_info, manager = _RECORD_HEADER.unpack_from(page, at)
        if length == 0:
            break
        if manager == RM_XLOG and record_info & 0xF0 == XLOG_SWITCH:
            return None
        at += _aligned(length)
    return min(at, PAGE)


def _aligned(length: int) -> int:
    return (length + 7) & ~7
