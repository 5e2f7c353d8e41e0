"""WAL files one after another through one connection: names go in; what each holds, and how
barman-get-wal would have ended (wal_store.py), come out.

A reply is any number of frames, each its length and so many bytes, then an empty one and the code.
So a reply that is cut off never looks like one that has ended.
"""

import socket
import struct
from collections.abc import Callable
from typing import BinaryIO

# What the connection begins with: whoever reads anything else speaks to something else.
GREETING = b"WAL files, version 1\n"
_LENGTH = struct.Struct(">I")
_PARTIAL = "partial"
# Of a request; what is longer names no file.
_LONGEST = 200

# Hands the file of that name to the function, whether partial ones count or not; returns the code.
Send = Callable[[str, Callable[[bytes], object], bool], int]


def serve(requests: BinaryIO, replies: BinaryIO, send: Send) -> None:
    """Answer every request until there are no more. Raises OSError once nobody listens."""

    def frame(piece: bytes) -> None:
        if piece:
            replies.write(_LENGTH.pack(len(piece)))
            replies.write(piece)

    replies.write(GREETING)
    replies.flush()
    while line := requests.readline(_LONGEST):
        name, *flags = line.decode().split()
        code = send(name, frame, _PARTIAL in flags)
        replies.write(_LENGTH.pack(0) + bytes([code]))
        replies.flush()


def ask(
    connection: socket.socket,
    replies: BinaryIO,
    name: str,
    write: Callable[[bytes], object],
    *,
    partial: bool,
) -> int:
    """Have the file of that name handed to `write`, piece by piece; returns the code. `replies` is
    what comes from `connection`. Raises OSError where it broke, and what `write` raises; it is of
    no more use then."""
    words = [name, *([_PARTIAL] if partial else [])]
    connection.sendall(" ".join(words).encode() + b"\n")
    while length := _LENGTH.unpack(_exactly(replies, _LENGTH.size))[0]:
        write(_exactly(replies, length))
    return _exactly(replies, 1)[0]


def _exactly(stream: BinaryIO, size: int) -> bytes:
    found = stream.read(size)
    if len(found) < size:
        raise ConnectionError("the connection to Barman's machine broke")
    return found
