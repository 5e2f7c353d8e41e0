"""A packed backup, unpacked into a copy's folder while it comes in, each file checked by the
manifest on the way. Nothing is staged on either side."""

import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from host.domain import manifest, packed
from host.domain.manifest import Damaged, Entry
from host.domain.packed import Member
from host.restored_copy.copy import Copy

LINKS = "pg_tblspc"
# In the archive of the data directory: where the server's tablespaces are. PostgreSQL would lead
# its links there.
_MAP = "tablespace_map"


class Unpacking:
    """Fills a copy's folder, which has its empty data directory and tablespaces' one, from a backup
    with these entries of its manifest (manifest.read)."""

    def __init__(self, copy: Copy, entries: Mapping[str, Entry]) -> None:
        self._copy = copy
        self._files = manifest.Files(entries)
        # The directory that the copy takes for each tablespace, by OID.
        self._tablespaces: dict[str, Path] = {}

    def add(self, archive: str, compressed: BinaryIO) -> None:
        """Unpack the archive of this name as Barman has it; the data directory's comes first. Its
        tablespaces are linked. Raises Damaged."""
        with packed.uncompressed(compressed) as tar:
            for member in packed.members(archive, tar):
                if not member.is_file:
                    _make(self._place(member.path), member.mode)
                elif member.path == _MAP:
                    self._link(b"".join(self._checked(member)))
                else:
                    self._write(member)

    def end(self) -> None:
        """Everything has come: force it to the disk. Raises Damaged where something has not."""
        if missing := self._files.missing():
            more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise Damaged(f'"{missing[0]}" is in the manifest and not there{more}')
        subprocess.run(["sync", "--file-system", self._copy.folder], check=True)

    def _checked(self, member: Member) -> Iterator[bytes]:
        return self._files.checked(member.path, member.size, member.read)

    def _write(self, member: Member) -> None:
        with self._place(member.path).open("xb") as file:
            for piece in self._checked(member):
                file.write(piece)
        self._place(member.path).chmod(member.mode)

    def _link(self, content: bytes) -> None:
        for oid, location in packed.locations(content).items():
            folder = Path(self._copy.tablespace(location))
            _make(folder, 0o700)
            self._tablespaces[oid] = folder
            links = Path(self._copy.data, LINKS)
            links.mkdir(mode=0o700, exist_ok=True)
            (links / oid).symlink_to(folder)

    def _place(self, path: str) -> Path:
        first, _, rest = path.partition("/")
        if first != LINKS or not rest:
            return Path(self._copy.data, path)
        oid, _, inside = rest.partition("/")
        if oid not in self._tablespaces:
            raise Damaged(f'"{path}" is of a tablespace that the data directory does not know')
        return self._tablespaces[oid] / inside


def _make(folder: Path, mode: int) -> None:
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(mode)
