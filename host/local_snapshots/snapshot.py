"""What a snapshot is, and which there are."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from host.domain.disk import sync_directory
from host.domain.paths import SNAPSHOTS

DATA, TABLESPACES = "data", "tablespaces"
BACKUP_LABEL = "backup_label"
# Written last: a folder without it is what an interrupted snapshot has left.
_RECORD = "snapshot.json"


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that is complete. Positions are bytes of WAL, times seconds since 1970.
    `begin_lsn` is where a replay has to begin, `end_lsn` how far it has to come at least.
    `tablespaces` are locations by OID."""

    id: str
    scheduled: bool
    begin_time: float
    end_time: float
    begin_lsn: int
    end_lsn: int
    timeline: int
    system_id: str
    version: int
    data_directory: str
    tablespaces: dict[str, str]
    files: int
    bytes: int

    @property
    def folder(self) -> Path:
        """Where it is."""
        return Path(SNAPSHOTS, self.id)

    def document(self) -> dict[str, Any]:
        """Ready for JSON; Snapshot(**document) is the snapshot again."""
        return asdict(self)

    def keep(self) -> None:
        """Write down that it is complete, once all of it is on the disk."""
        new = self.folder / f"{_RECORD}.new"
        with new.open("w") as file:
            json.dump(self.document(), file)
            file.flush()
            os.fsync(file.fileno())
        new.rename(self.folder / _RECORD)
        sync_directory(self.folder)

    def wrong(self) -> str | None:
        """What has happened to its files since, as far as their names and sizes show it."""
        try:
            sizes = [_readable(path) for path in _files(self.folder)]
            label = (self.folder / DATA / BACKUP_LABEL).stat().st_size
        except OSError as error:
            return f"{error.filename or self.folder}: {error.strerror}"
        if label and (len(sizes), sum(sizes)) == (self.files, self.bytes):
            return None
        return (
            f"it had {self.files} files of {self.bytes} bytes, and has {len(sizes)} of {sum(sizes)}"
        )


def _files(folder: Path) -> Iterator[Path]:
    """All files of a snapshot. Raises OSError where a folder cannot be read."""

    def refused(error: OSError) -> None:
        raise error

    for part in (DATA, TABLESPACES):
        for where, _, names in os.walk(folder / part, onerror=refused):
            yield from (Path(where, name) for name in names)


def _readable(path: Path) -> int:
    """Its size. Raises OSError where it cannot be read."""
    if not os.access(path, os.R_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    return path.stat().st_size


def complete() -> list[Snapshot]:
    """The snapshots there are, oldest first."""
    found = [snapshot for folder in _folders() if (snapshot := _read(folder))]
    return sorted(found, key=lambda snapshot: snapshot.end_time)


def incomplete() -> list[Path]:
    """What interrupted ones have left. Only for who holds the lock: one that is being taken is
    incomplete as well."""
    return [folder for folder in _folders() if _read(folder) is None]


def remove(folder: Path) -> None:
    """Remove a snapshot, which from now on is none."""
    (folder / _RECORD).unlink(missing_ok=True)
    shutil.rmtree(folder)


def _folders() -> list[Path]:
    root = Path(SNAPSHOTS)
    return [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []


def _read(folder: Path) -> Snapshot | None:
    try:
        found = Snapshot(**json.loads((folder / _RECORD).read_text()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError):
        # A record that a power cut has spoilt: not a snapshot that anybody can rely on.
        return None
    return found if found.id == folder.name else None
