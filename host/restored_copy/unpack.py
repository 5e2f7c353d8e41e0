"""A backup's archives, unpacked into a copy's folders while they come in, each file checked by the
manifest on the way. Nothing is staged on either side."""

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import IO

from host.domain import manifest, packed
from host.domain.manifest import Damaged, Entry
from host.domain.packed import LINKS, Member, Unreadable
from host.restored_copy.complete import Complete
from host.restored_copy.copy import Copy

# In the archive of the data directory: where the server's tablespaces are. PostgreSQL would lead
# its links there.
MAP = "tablespace_map"
TOLD_EVERY_S = 0.5
PIECE = 2**20


class Places:
    """Where in a copy's folders the files of a backup with these `tablespaces` (location by OID)
    belong."""

    def __init__(self, copy: Copy, tablespaces: Mapping[str, str]) -> None:
        self.data = Path(copy.data)
        # The directory that the copy takes for each tablespace, by OID.
        self.folders = {oid: Path(copy.tablespace(each)) for oid, each in tablespaces.items()}

    def of(self, path: str) -> Path:
        """Of a path as the manifest has it. Raises Damaged."""
        first, _, rest = path.partition("/")
        if first != LINKS or not rest:
            return self.data / path
        oid, _, inside = rest.partition("/")
        if oid not in self.folders:
            raise Damaged(f'"{path}" is of a tablespace that the backup does not have')
        return self.folders[oid] / inside

    def link(self) -> None:
        """Link the tablespaces' directories, which are made where they are not there."""
        _make(self.data / LINKS, 0o700)
        for oid, folder in self.folders.items():
            _make(folder, 0o700)
            (self.data / LINKS / oid).symlink_to(folder)


class Unpacking:
    """Fills a copy's folders from a backup with these `entries` of its manifest (manifest.read).
    What is `complete` is passed over. `told` gets the bytes so far now and then; `objected` what is
    wrong with a file, and raises Damaged, or the file stays as it came. Archives may be added by
    several threads at once, and again when one broke off."""

    def __init__(
        self,
        places: Places,
        entries: Mapping[str, Entry],
        complete: Complete,
        told: Callable[[int], None],
        objected: Callable[[Damaged], None],
    ) -> None:
        self._places, self._entries, self._complete = places, entries, complete
        self._told, self._told_at = told, time.monotonic()
        self._objected = objected
        self._counting = Lock()
        self.bytes = sum(entries[path].size for path in complete.paths())

    def add(self, archive: str, compressed: IO[bytes]) -> None:
        """Unpack the archive of this name, which is open without a buffer. Raises Damaged, OSError
        with a file's name."""
        with packed.uncompressed(compressed) as tar:
            for member in packed.members(archive, tar):
                if not member.is_file:
                    _make(self._places.of(member.path), member.mode)
                elif member.path not in self._complete and member.path != MAP:
                    self._write(member)

    def missing(self) -> list[str]:
        """The files of the manifest that are not there."""
        there = {*self._complete.paths(), MAP}
        return sorted(path for path in self._entries if path not in there)

    def _write(self, member: Member) -> None:
        entry = self._entries.get(member.path)
        if entry is None:
            raise Damaged(f'"{member.path}" is there and not in the manifest')
        path, count = self._places.of(member.path), 0
        try:
            with path.open("wb") as file:
                for piece in self._pieces(member, entry):
                    file.write(piece)
                    count += len(piece)
                    self._count(len(piece))
            path.chmod(member.mode)
        except BaseException as error:
            self._count(-count)
            if isinstance(error, OSError):
                raise OSError(error.errno, error.strerror, member.path) from None
            raise
        self._complete.add(member.path)

    def _pieces(self, member: Member, entry: Entry) -> Iterator[bytes]:
        try:
            yield from manifest.checked(member.path, entry, member.size, member.read)
        except Unreadable:
            raise
        except Damaged as error:
            self._objected(error)
            while piece := member.read(PIECE):
                yield piece

    def _count(self, size: int) -> None:
        with self._counting:
            self.bytes += size
            if time.monotonic() > self._told_at + TOLD_EVERY_S:
                self._told_at = time.monotonic()
                self._told(self.bytes)


def _make(folder: Path, mode: int) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(mode)
