"""As much of PostgreSQL's protocol as it takes to ask over the local socket, as peer.

A `psql` for every look would cost more CPU than the guard may use, and a driver is not at hand.
"""

import socket
import struct
from contextlib import suppress
from types import TracebackType

PROTOCOL = 3 << 16


# SQLSTATEs of a server that starts or stops, class 57: nobody can commit in it.
ON_ITS_WAY = ("57P01", "57P02", "57P03")


class WireError(Exception):
    """The server refused: it starts, stops, or does not like the session or the statement."""

    @property
    def on_its_way(self) -> bool:
        """Whether it starts or stops."""
        return str(self).startswith(ON_ITS_WAY)


class Connection:
    """One session. Raises WireError, or OSError (TimeoutError when there is no answer in time)."""

    def __init__(self, path: str, user: str, options: str, timeout_s: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect(path)
            fields = {
                "user": user,
                "database": "postgres",
                "application_name": "durability-guard",
                "options": options,
            }
            pairs = "".join(f"{name}\0{value}\0" for name, value in fields.items())
            body = struct.pack("!I", PROTOCOL) + pairs.encode() + b"\0"
            self._socket.sendall(struct.pack("!I", len(body) + 4) + body)
            self._rows()
        except BaseException:
            self._socket.close()
            raise

    def __enter__(self) -> "Connection":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def query(self, sql: str) -> list[list[str | None]]:
        """The rows of the statement (or statements, one after the other), as text."""
        body = sql.encode() + b"\0"
        self._socket.sendall(b"Q" + struct.pack("!I", len(body) + 4) + body)
        return self._rows()

    def close(self) -> None:
        """End the session; never fails."""
        with suppress(OSError):
            self._socket.sendall(b"X" + struct.pack("!I", 4))
        self._socket.close()

    def _rows(self) -> list[list[str | None]]:
        """Everything up to ReadyForQuery."""
        rows: list[list[str | None]] = []
        refusal = ""
        while True:
            kind, body = self._message()
            if kind == b"D":
                rows.append(_row(body))
            elif kind == b"E":
                refusal = _error_text(body)
                if _field(body, "S") in ("FATAL", "PANIC"):
                    raise WireError(refusal)
            elif kind == b"R" and struct.unpack("!I", body[:4])[0] != 0:
                raise WireError("the server asks for a password: peer authentication is gone")
            elif kind == b"Z":
                if refusal:
                    raise WireError(refusal)
                return rows

    def _message(self) -> tuple[bytes, bytes]:
        head = self._exactly(5)
        return head[:1], self._exactly(struct.unpack("!I", head[1:])[0] - 4)

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            chunk = self._socket.recv(count - len(data))
            if not chunk:
                raise ConnectionResetError("the server closed the connection")
            data += chunk
        return bytes(data)


def _row(body: bytes) -> list[str | None]:
    (count,) = struct.unpack_from("!H", body)
    row: list[str | None] = []
    at = 2
    for _ in range(count):
        (length,) = struct.unpack_from("!i", body, at)
        at += 4
        if length < 0:
            row.append(None)
            continue
        row.append(body[at : at + length].decode())
        at += length
    return row


def _field(body: bytes, code: str) -> str:
    for part in body.split(b"\0"):
        if part[:1] == code.encode():
            return part[1:].decode(errors="replace")
    return ""


def _error_text(body: bytes) -> str:
    return f"{_field(body, 'C')} {_field(body, 'M')}"
