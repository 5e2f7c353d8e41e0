"""WAL as Barman archives it, back to what PostgreSQL wrote: plain, gzip or xz. Whatever else Barman
compresses with is for `barman get-wal`, at a process each."""

import lzma
import zlib
from collections.abc import Callable
from typing import Protocol

# The second byte of every page of WAL: PostgreSQL's magic numbers are 0xD1xx, little end first.
_PAGE_MAGIC = b"\xd1"
_GZIP = 16 + zlib.MAX_WBITS
# How long what `readable` looks at is.
START = 6


class _Decompressor(Protocol):
    """zlib's and lzma's."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


_FORMATS: dict[bytes, Callable[[], _Decompressor]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(_GZIP),
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
}


class Damaged(ValueError):
    """A compressed file that is not what was compressed."""


def _format(start: bytes) -> Callable[[], _Decompressor] | None:
    return next((made for magic, made in _FORMATS.items() if start.startswith(magic)), None)


def readable(start: bytes) -> bool:
    """Whether the archived segment that begins so (START bytes) needs nobody else to be read."""
    return start[1:2] == _PAGE_MAGIC or _format(start) is not None


def uncompressed(archived: bytes) -> bytes | None:
    """A segment as PostgreSQL wrote it, from the archived file's content; None where that is not
    `readable`. Raises Damaged."""
    if not readable(archived[:START]):
        return None
    pieces: list[bytes] = []
    content = Content(pieces.append)
    content.add(archived)
    content.end()
    return b"".join(pieces)


class Content:
    """What an archived file holds, handed to `write` while the file comes in, piece by piece, the
    first of which has START bytes or is all there is. What is not compressed in a way that is known
    here is taken for plain."""

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._made: Callable[[], _Decompressor] | None = None
        self._decompressor: _Decompressor | None = None
        self._begun = False
        self._wrong = ""

    def add(self, piece: bytes) -> None:
        """The next piece. Raises what `write` raises."""
        if not self._begun:
            self._begun, self._made = True, _format(piece[:START])
            self._decompressor = self._made() if self._made else None
        if self._decompressor is None or self._made is None:
            self._write(piece)
            return
        while piece and not self._wrong:
            if self._decompressor.eof:
                # Of gzip as of xz, several in a row are one file; zeros behind it are padding.
                piece = piece.lstrip(b"\0")
                if not piece:
                    return
                self._decompressor = self._made()
            try:
                plain = self._decompressor.decompress(piece)
            except (zlib.error, lzma.LZMAError) as error:
                # Said at the end: who sends does not stop for it.
                self._wrong = str(error)
                return
            self._write(plain)
            piece = self._decompressor.unused_data if self._decompressor.eof else b""

    def end(self) -> None:
        """There are no more pieces. Raises Damaged, also where there should be more."""
        if self._wrong:
            raise Damaged(self._wrong)
        if self._decompressor is not None and not self._decompressor.eof:
            raise Damaged("the compressed file is cut off")
