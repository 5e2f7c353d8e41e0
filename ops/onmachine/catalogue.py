"""What Barman holds: backups, unbroken runs of WAL per timeline, and the commits at their ends.

One pass over the directory of archived WAL; only segments at the end of a run, or at a switchpoint,
are read. Runs as the barman user; prints JSON.
"""

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from host.domain import backup_info
from host.domain.compression import uncompressed
from host.domain.wal import (
    DEFAULT_SEGMENT_SIZE,
    HISTORY,
    PARTIAL,
    SEGMENT,
    Run,
    name_of,
    switchpoints,
    unbroken,
)
from host.domain.wal_records import Commit, scan

# How many segments are read for the last commit.
# Every ten seconds there is one, of the marker for drills (files/heartbeat.sql): this is what a
# bulk load writes in that time at 400 MB/s.
LOOK_BACK = 256
# The field of backup.info that says how large segments are.
SIZE = "xlog_segment_size"
KEPT_FIELDS = (
    "backup_id",
    "status",
    "error",
    "timeline",
    "begin_wal",
    "end_wal",
    "begin_xlog",
    "end_xlog",
    "begin_time",
    "end_time",
    "systemid",
    "version",
    "pgdata",
    SIZE,
    "parent_backup_id",
)


def main(home: str, server: str, bad_wal: str, since: str = "") -> None:
    """`bad_wal` is a JSON list of archived segments that count as not there.

    With `since`, a segment's name, only WAL of its timeline from there on is looked at, and no
    switchpoints.
    """
    base = Path(home) / server
    backups = backup_info.read(base)
    size = next(
        (backup_info.segment_size(known) for known in backups.values() if SIZE in known),
        DEFAULT_SEGMENT_SIZE,
    )
    archived = {
        entry.name
        for directory in (base / "wals").glob(f"{since[:8]}*")
        if directory.is_dir() and directory.name >= since[:16]
        for entry in directory.iterdir()
        if SEGMENT.fullmatch(entry.name)
    } - set(json.loads(bad_wal))
    streamed = {
        path.name for path in (base / "streaming").glob(f"{since[:8]}*") if path.stat().st_size
    }
    runs = [
        _with_commit(base, run, size)
        for run in unbroken(archived | {name for name in streamed if SEGMENT.match(name)}, size)
    ]
    history_files = {
        # Barman compresses these too.
        path.stem: segment(base, path.name).decode()
        for folder in ("wals", "streaming")
        for path in (base / folder).glob(f"*{HISTORY}")
        if not since
    }
    left = [switchpoint(int(name, 16), text) for name, text in sorted(history_files.items())]
    for branch in left:
        branch["last_commit"] = _commit_before(base, branch, size)
    listed = [_backup(name, known) for name, known in backups.items()]
    found = {"segment_size": size, "backups": listed, "runs": runs, "switchpoints": left}
    print(json.dumps(found))


def _backup(name: str, fields: Mapping[str, str]) -> dict[str, Any]:
    return {
        **{key: fields.get(key) for key in KEPT_FIELDS},
        "backup_id": name,
        "packed": backup_info.packed(fields),
        "stored_size": backup_info.stored_size(fields) or None,
        "restored_size": backup_info.restored_size(fields) or None,
    }


def _named(run: Run, size: int) -> dict[str, Any]:
    """A run as the runbooks read it: {timeline, first, last, partial}, both segments by name."""
    return {
        "timeline": run.timeline,
        "first": name_of(run.timeline, run.first, size),
        "last": name_of(run.timeline, run.last, size),
        "partial": run.partial,
    }


def switchpoint(timeline: int, text: str) -> dict[str, Any]:
    """Where a timeline left its parent, from its history file: {timeline, parent, lsn, path}.

    `path` is every ancestor with the LSN at which it was left, oldest first.
    """
    path = switchpoints(text)
    return {
        "timeline": timeline,
        "parent": path[-1].timeline,
        "lsn": path[-1].lsn,
        "path": [[left.timeline, left.lsn] for left in path],
    }


def segment(base: Path, name: str) -> bytes:
    """A WAL or history file's content, wherever Barman has it; empty if it has not.

    Plain, gzip and xz files are read here, which is twenty times faster than a barman process each.
    """
    for path in (
        base / "wals" / name[:16] / name,
        base / "wals" / name,
        base / "streaming" / name,
        base / "streaming" / (name + PARTIAL),
    ):
        if not path.is_file():
            continue
        data = path.read_bytes()
        plain = uncompressed(data)
        if plain is not None:
            return plain
        if name.endswith(HISTORY) or not data:
            return data
        return subprocess.run(
            ["barman", "get-wal", base.name, name], capture_output=True, check=False
        ).stdout
    return b""


def _commits(base: Path, name: str) -> Iterator[Commit]:
    return (item for item in scan(segment(base, name)) if isinstance(item, Commit))


def _with_commit(base: Path, run: Run, size: int) -> dict[str, Any]:
    for number in range(run.last, max(run.first - 1, run.last - LOOK_BACK), -1):
        commit = None
        for commit in _commits(base, name_of(run.timeline, number, size)):  # noqa: B007
            pass
        if commit is not None:
            return _named(run, size) | {"last_commit": commit._asdict()}
    return _named(run, size) | {"last_commit": None}


def _commit_before(base: Path, branch: dict[str, Any], size: int) -> dict[str, Any] | None:
    limit = branch["lsn"]
    for back in range(LOOK_BACK):
        number = (limit - 1) // size - back
        if number < 0:
            return None
        found = None
        for commit in _commits(base, name_of(branch["parent"], number, size)):
            if commit.lsn <= limit:
                found = commit
        if found is not None:
            return found._asdict()
    return None
