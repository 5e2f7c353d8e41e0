"""What Barman holds, read from its files: backups and archived WAL."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from host.domain import backup_info, wal


@dataclass(frozen=True)
class Backup:
    """One backup.info; times in seconds since 1970, None where Barman has not written it yet.
    `size` is what the backup takes on Barman's disk, `restored` what its files take once they are
    restored."""

    id: str
    status: str
    began: float | None
    ended: float | None
    size: int
    restored: int
    begin_wal: str | None
    segment_size: int


@dataclass(frozen=True)
class Archive:
    """Archived WAL: names of the segments, their bytes, and when the newest came (0: none did)."""

    segments: frozenset[str]
    bytes: int
    newest_at: float


def backups(base: Path) -> list[Backup]:
    """Every backup of the server whose directory is `base`, the oldest first."""
    return [_backup(name, fields) for name, fields in backup_info.read(base).items()]


def _backup(name: str, fields: Mapping[str, str]) -> Backup:
    return Backup(
        id=name,
        status=fields["status"],
        began=_time(fields.get("begin_time")),
        ended=_time(fields.get("end_time")),
        size=backup_info.stored_size(fields),
        restored=backup_info.restored_size(fields),
        begin_wal=fields.get("begin_wal"),
        segment_size=backup_info.segment_size(fields),
    )


def _time(text: str | None) -> float | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


class Wals:
    """The directories of archived WAL; only those that changed since the last look are read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[str, tuple[int, Mapping[str, int], float]] = {}

    def look(self) -> Archive:
        """What is there now."""
        present = {
            entry.name: entry
            for entry in self._directory.iterdir()
            if wal.DIRECTORY.fullmatch(entry.name) and entry.is_dir()
        }
        self._known = {name: known for name, known in self._known.items() if name in present}
        for name, entry in present.items():
            changed = entry.stat().st_mtime_ns
            if name not in self._known or self._known[name][0] != changed:
                self._known[name] = (changed, *_read(entry))
        sizes = [known[1] for known in self._known.values()]
        return Archive(
            segments=frozenset(name for files in sizes for name in files),
            bytes=sum(size for files in sizes for size in files.values()),
            newest_at=max((known[2] for known in self._known.values()), default=0.0),
        )


def _read(directory: Path) -> tuple[dict[str, int], float]:
    sizes: dict[str, int] = {}
    newest = 0.0
    for entry in directory.iterdir():
        if wal.SEGMENT.fullmatch(entry.name):
            state = entry.stat()
            sizes[entry.name] = state.st_size
            newest = max(newest, state.st_mtime)
    return sizes, newest
