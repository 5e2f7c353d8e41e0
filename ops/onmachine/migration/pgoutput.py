"""PostgreSQL's messages of logical replication (pgoutput, version 1 of its protocol), read. Pure.

https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
"""

import struct
from dataclasses import dataclass


class Unreadable(Exception):
    """A message that is not of this protocol."""


class Unchanged:
    """Of a value that is stored out of line (TOAST) and was not changed: it was not sent."""


UNCHANGED = Unchanged()
# Each value is a text as the server writes it, NULL, or was not sent.
Row = tuple[str | Unchanged | None, ...]


@dataclass(frozen=True)
class Relation:
    """A table as it is when the rows after it change. `key` are the columns of its replica
    identity; `full` where that is the whole row."""

    oid: int
    schema: str
    table: str
    full: bool
    columns: tuple[str, ...]
    key: tuple[str, ...]


@dataclass(frozen=True)
class Begin:
    """A transaction; `lsn` is where its commit begins in WAL."""

    lsn: int


@dataclass(frozen=True)
class Commit:
    """Its end; `end` is where WAL goes on behind it."""

    end: int


@dataclass(frozen=True)
class Insert:
    oid: int
    row: Row


@dataclass(frozen=True)
class Update:
    """`old` is the row before (of a full replica identity), its key where that was changed (all
    else NULL), or None."""

    oid: int
    old: Row | None
    row: Row


@dataclass(frozen=True)
class Delete:
    """`old` is the row, or of a key no more than that."""

    oid: int
    old: Row


@dataclass(frozen=True)
class Truncate:
    """Tables emptied by one statement."""

    oids: tuple[int, ...]
    cascade: bool


Message = Relation | Begin | Commit | Insert | Update | Delete | Truncate


def read(data: bytes) -> Message | None:
    """One message; None for those that say nothing of rows: where a change came from, and the names
    of types. Raises Unreadable."""
    reader = _Reader(data)
    try:
        found = _message(reader)
    except (struct.error, ValueError, IndexError) as error:
        raise Unreadable(f"a message {data[:1]!r} ends early or is no text: {error}") from error
    if found is not None and reader.left:
        raise Unreadable(f"a message {data[:1]!r} has {reader.left} bytes too many")
    return found


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def number(self, code: str) -> int:
        (value,) = struct.unpack_from(f">{code}", self._data, self._at)
        self._at += struct.calcsize(f">{code}")
        return value

    def letter(self) -> str:
        return chr(self.number("B"))

    def name(self) -> str:
        end = self._data.index(b"\0", self._at)
        found = self._data[self._at : end].decode()
        self._at = end + 1
        return found

    def text(self) -> str:
        length = self.number("I")
        if length > self.left:
            raise ValueError(f"{length} bytes announced, {self.left} there")
        found = self._data[self._at : self._at + length].decode()
        self._at += length
        return found

    def row(self) -> Row:
        return tuple(self._value() for _ in range(self.number("H")))

    def _value(self) -> str | Unchanged | None:
        kind = self.letter()
        if kind == "t":
            return self.text()
        if kind in "nu":
            return None if kind == "n" else UNCHANGED
        raise ValueError(f"a value of kind {kind!r}")


def _message(reader: _Reader) -> Message | None:
    kind = reader.letter()
    if kind not in _KINDS:
        if kind in "OY":
            return None
        raise ValueError("not a kind of this version of the protocol")
    return _KINDS[kind](reader)


def _begin(reader: _Reader) -> Begin:
    lsn = reader.number("Q")
    reader.number("q")  # when it was committed
    reader.number("I")  # the transaction's id
    return Begin(lsn)


def _commit(reader: _Reader) -> Commit:
    reader.number("B")  # flags, of which there are none
    reader.number("Q")  # as Begin had it
    end = reader.number("Q")
    reader.number("q")
    return Commit(end)


def _relation(reader: _Reader) -> Relation:
    oid, schema, table = reader.number("I"), reader.name(), reader.name()
    full = reader.letter() == "f"
    columns: list[str] = []
    key: list[str] = []
    for _ in range(reader.number("H")):
        in_key, name = reader.number("B") & 1, reader.name()
        reader.number("I")  # its type
        reader.number("i")  # and the modifier of that
        columns.append(name)
        if in_key:
            key.append(name)
    return Relation(oid, schema, table, full, tuple(columns), tuple(key))


def _insert(reader: _Reader) -> Insert:
    oid = reader.number("I")
    _require(reader.letter(), "N")
    return Insert(oid, reader.row())


def _update(reader: _Reader) -> Update:
    oid, old, kind = reader.number("I"), None, reader.letter()
    if kind in "KO":
        old, kind = reader.row(), reader.letter()
    _require(kind, "N")
    return Update(oid, old, reader.row())


def _delete(reader: _Reader) -> Delete:
    oid = reader.number("I")
    _require(reader.letter(), "KO")
    return Delete(oid, reader.row())


def _truncate(reader: _Reader) -> Truncate:
    count, options = reader.number("I"), reader.number("B")
    return Truncate(tuple(reader.number("I") for _ in range(count)), bool(options & 1))


def _require(kind: str, expected: str) -> None:
    if kind not in expected:
        raise ValueError(f"{kind!r} where {expected!r} belongs")


_KINDS = {
    "B": _begin,
    "C": _commit,
    "R": _relation,
    "I": _insert,
    "U": _update,
    "D": _delete,
    "T": _truncate,
}
