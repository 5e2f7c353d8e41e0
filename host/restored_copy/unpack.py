"""A backup's archives, unpacked into a copy's folders while they come in, each file checked by the
manifest on the way. Nothing is staged on either side."""

import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import IO

from host.domain import manifest, packed
from host.domain.manifest import Damaged, Entry
from host.domain.packed import Member
from host.restored_copy.copy import Copy

LINKS = "pg_tblspc"
# In the archive of the data directory: where the server's tablespaces are. PostgreSQL would lead
# its links there.
_MAP = "tablespace_map"
TOLD_EVERY_S = 0.5


class Unpacking:
    """Fills a copy's folders, which are empty, from a backup with these `tablespaces` (location by
    OID) and these entries of its manifest (manifest.read). `told` gets the bytes so far now and
    then. Archives may be added by several threads at once."""

    def __init__(
        self,
        copy: Copy,
        tablespaces: Mapping[str, str],
        entries: Mapping[str, Entry],
        told: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._copy = copy
        self._files = manifest.Files(entries)
        # The directory that the copy takes for each tablespace, by OID.
        self._folders = {oid: Path(copy.tablespace(each)) for oid, each in tablespaces.items()}
        self._told, self._told_at = told, time.monotonic()
        self._counting = Lock()
        self.bytes = 0
        for oid, folder in self._folders.items():
            _make(folder, 0o700)
            _make(Path(copy.data, LINKS), 0o700)
            Path(copy.data, LINKS, oid).symlink_to(folder)

    def add(self, archive: str, compressed: IO[bytes]) -> None:
        """Unpack the archive of this name, which is open without a buffer. Raises Damaged."""
        with packed.uncompressed(compressed) as tar:
            for member in packed.members(archive, tar):
                if not member.is_file:
                    _make(self._place(member.path), member.mode)
                elif member.path == _MAP:
                    for _ in self._files.checked(member.path, member.size, member.read):
                        pass
                else:
                    self._write(member)

    def end(self) -> None:
        """Everything has come: force it to the disk. Raises Damaged where something has not."""
        if missing := self._files.missing():
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise Damaged(f'"{missing[0]}" is in the manifest and not there{more}')
        subprocess.run(["sync", "--file-system", self._copy.folder], check=True)

    def _write(self, member: Member) -> None:
        path = self._place(member.path)
        with path.open("xb") as file:
            for piece in self._files.checked(member.path, member.size, member.read):
                file.write(piece)
                self._count(len(piece))
        path.chmod(member.mode)

    def _count(self, size: int) -> None:
        with self._counting:
            self.bytes += size
            if time.monotonic() > self._told_at + TOLD_EVERY_S:
                self._told_at = time.monotonic()
                self._told(self.bytes)

    def _place(self, path: str) -> Path:
        first, _, rest = path.partition("/")
        if first != LINKS or not rest:
            return Path(self._copy.data, path)
        oid, _, inside = rest.partition("/")
        if oid not in self._folders:
            raise Damaged(f'"{path}" is of a tablespace that the backup does not have')
        return self._folders[oid] / inside


def _make(folder: Path, mode: int) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(mode)
