"""What Barman holds, read from its files: backups, archived WAL, holes in it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from .wal import start_of

_SEGMENT = re.compile(r"[0-9A-F]{24}")
_DEFAULT_SEGMENT_SIZE = 2**24


@dataclass(frozen=True)
class Backup:
    """One backup.info; times in seconds since 1970, None where Barman has not written it yet."""

    id: str
    status: str
    began: float | None
    ended: float | None
    size: int
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
    found = {path.parent.name: path for path in base.glob("base/*/backup.info")}
    # Newer Barman keeps a copy here, which is there as soon as a backup begins.
    for path in base.glob("meta/*-backup.info"):
        found.setdefault(path.name.removesuffix("-backup.info"), path)
    result = []
    for name in sorted(found):
        try:
            text = found[name].read_text()
        except FileNotFoundError:
            # Deleted by the retention policy at this very moment.
            continue
        result.append(_backup(name, text))
    return result


def _backup(name: str, text: str) -> Backup:
    fields = {
        key: value
        for key, _, value in (line.partition("=") for line in text.splitlines())
        if value != "None"
    }
    return Backup(
        id=name,
        status=fields.get("status", "EMPTY"),
        began=_time(fields.get("begin_time")),
        ended=_time(fields.get("end_time")),
        size=int(fields.get("deduplicated_size") or fields.get("size") or 0),
        begin_wal=fields.get("begin_wal"),
        segment_size=int(fields.get("xlog_segment_size") or _DEFAULT_SEGMENT_SIZE),
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
            if len(entry.name) == 16 and entry.is_dir()
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
        if _SEGMENT.fullmatch(entry.name):
            state = entry.stat()
            sizes[entry.name] = state.st_size
            newest = max(newest, state.st_mtime)
    return sizes, newest


def missing(segments: Iterable[str], since: str, segment_size: int) -> int:
    """How many segments are absent between others of their timeline, from segment `since` on."""
    begin = start_of(since, segment_size)
    seen: Counter[int] = Counter()
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for name in segments:
        timeline, number = int(name[:8], 16), start_of(name, segment_size) // segment_size
        if number * segment_size < begin:
            continue
        seen[timeline] += 1
        first[timeline] = min(first.get(timeline, number), number)
        last[timeline] = max(last.get(timeline, number), number)
    return sum(last[line] - first[line] + 1 - seen[line] for line in seen)
