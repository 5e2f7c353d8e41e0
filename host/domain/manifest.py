"""The manifest that PostgreSQL sends with a base backup: every file's size and checksum, and a
checksum of its own."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

NAME = "backup_manifest"
# PostgreSQL's names of what Python computes, too. Its default, CRC-32C, is not among them.
_ALGORITHMS = {f"SHA{bits}": f"sha{bits}" for bits in (224, 256, 384, 512)}
# In place of an algorithm: the size alone is compared.
_NONE = "size alone"
_PIECE = 2**20


class Damaged(ValueError):
    """A backup is not what PostgreSQL sent; the words say what is wrong, by the file's name."""


class Entry(NamedTuple):
    """What the manifest says of a file: `size` in bytes, and the `checksum` by the `algorithm`, as
    PostgreSQL calls it."""

    size: int
    algorithm: str
    checksum: str


def read(content: bytes) -> dict[str, Entry]:
    """The entry of every file, by its path in the data directory. Raises Damaged, also where the
    manifest's own checksum is not right."""
    body, last = _apart(content)
    try:
        document = json.loads(content)
        own = json.loads(b"{" + last)["Manifest-Checksum"]
        entries = {_path(each): _entry(each) for each in document["Files"]}
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f'"{NAME}" cannot be read: {error!r}') from None
    if hashlib.sha256(body).hexdigest() != own:
        raise Damaged(f'"{NAME}" does not match its own checksum')
    return entries


def absent(path: str) -> str:
    """What is wrong where a file of the manifest has not come."""
    return f'"{path}" is in the manifest and not there'


def first(complaints: Sequence[str]) -> str:
    """The first of some complaints about a backup, and how many more there are."""
    more = f" (and {len(complaints) - 1} more)" if len(complaints) > 1 else ""
    return complaints[0] + more


def comparable(entry: Entry) -> Entry:
    """The same file, of which the size alone is compared where its checksum is of a kind that is
    not known here."""
    return entry if entry.algorithm in _ALGORITHMS else Entry(entry.size, _NONE, "")


def _apart(content: bytes) -> tuple[bytes, bytes]:
    """What the manifest's own checksum is of, and the last line, which has it."""
    end = content.rstrip(b"\n").rfind(b"\n") + 1
    return content[:end], content[end:]


def _path(fields: Mapping[str, Any]) -> str:
    if "Encoded-Path" in fields:
        # It is not UTF-8; so a tar's reader has its name, too.
        return bytes.fromhex(fields["Encoded-Path"]).decode("utf-8", "surrogateescape")
    return fields["Path"]


def _entry(fields: Mapping[str, Any]) -> Entry:
    algorithm = fields.get("Checksum-Algorithm", "none")
    return Entry(int(fields["Size"]), algorithm, fields.get("Checksum", "").lower())


def checked(path: str, entry: Entry, size: int, read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The content of a file, which `read` gives, in pieces. Raises Damaged: before any where it has
    another size than its entry, after the last where its content is not what was sent."""
    if size != entry.size:
        raise Damaged(f'"{path}" has {size} bytes, and {entry.size} by the manifest')
    if entry.algorithm == _NONE:
        while piece := read(_PIECE):
            yield piece
        return
    if entry.algorithm not in _ALGORITHMS:
        raise Damaged(f'"{path}" has a checksum by {entry.algorithm}, which is not known here')
    seen = hashlib.new(_ALGORITHMS[entry.algorithm])
    while piece := read(_PIECE):
        seen.update(piece)
        yield piece
    if seen.hexdigest() != entry.checksum:
        raise Damaged(f'"{path}" does not match its checksum')


class Files:
    """The files of a backup as they come, in any order, held against its manifest's entries."""

    def __init__(self, expected: Mapping[str, Entry]) -> None:
        self._missing = dict(expected)

    def checked(self, path: str, size: int, read: Callable[[int], bytes]) -> Iterator[bytes]:
        """The content of the next file, as the function `checked` gives it. Raises Damaged, also
        where it is not to be there."""
        entry = self._missing.pop(path, None)
        if entry is None:
            raise Damaged(f'"{path}" is there and not in the manifest')
        yield from checked(path, entry, size, read)

    def missing(self) -> list[str]:
        """The files of the manifest that have not come."""
        return sorted(self._missing)
