"""What Barman holds: backups, unbroken runs of WAL per timeline, and the commits at their ends.

One pass over the directory of archived WAL; only segments at the end of a run, or at a fork, are
read. Runs as the barman user; prints JSON.
"""

import gzip
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ops.onmachine.wal import Commit, scan

SEGMENT = re.compile(r"[0-9A-F]{24}")
# An idle server's newest segments may hold no commit; further back it is no longer worth the time.
LOOK_BACK = 6
GZIP = b"\x1f\x8b"
# The second byte of every WAL page: PostgreSQL's magic numbers are 0xD1xx, little end first.
WAL_PAGE = b"\xd1"
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
    "size",
    "systemid",
    "version",
    "pgdata",
    "xlog_segment_size",
    "tablespaces",
)


def main(home: str, server: str, bad_wal: str, since: str = "") -> None:
    """`bad_wal` is a JSON list of archived segments that count as not there.

    With `since`, a segment's name, only WAL of its timeline from there on is looked at, no forks.
    """
    base = Path(home) / server
    backups = [_backup(path) for path in _backup_files(base)]
    size = next((int(b["xlog_segment_size"]) for b in backups if b["xlog_segment_size"]), 2**24)
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
        for path in (base / folder).glob("*.history")
        if not since
    }
    forks = [fork(int(name, 16), text) for name, text in sorted(history_files.items())]
    for branch in forks:
        branch["last_commit"] = _commit_before(base, branch, size)
    print(json.dumps({"segment_size": size, "backups": backups, "runs": runs, "forks": forks}))


def _backup_files(base: Path) -> Iterable[Path]:
    """Every backup.info; newer Barman keeps a copy in meta/, which outlives a lost base/."""
    found = {path.parent.name: path for path in (base / "base").glob("*/backup.info")}
    for path in (base / "meta").glob("*-backup.info"):
        found.setdefault(path.name.removesuffix("-backup.info"), path)
    return [found[name] for name in sorted(found)]


def _backup(path: Path) -> dict[str, Any]:
    fields = dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)
    name = path.parent.name if path.name == "backup.info" else path.name.split("-")[0]
    values = {
        key: None if fields.get(key) in (None, "None") else fields[key] for key in KEPT_FIELDS
    }
    # A power cut can leave the file empty: Barman does not force it to the disk.
    return values | {"backup_id": name, "status": values["status"] or "EMPTY"}


def unbroken(names: set[str], size: int) -> list[dict[str, Any]]:
    """Runs of consecutive segments as {timeline, first, last, partial}, by timeline and position.

    `names` may contain `….partial`, the segment being received, which ends a run.
    """
    positions: dict[tuple[int, int], bool] = {}
    for name in names:
        key = (int(name[:8], 16), _position(name, size))
        positions[key] = positions.get(key, True) and name.endswith(".partial")
    runs: list[dict[str, Any]] = []
    for (timeline, position), partial in sorted(positions.items()):
        last = runs[-1] if runs else None
        if last and last["timeline"] == timeline and last["position"] + 1 == position:
            last.update(position=position, partial=partial)
        else:
            runs.append(
                {
                    "timeline": timeline,
                    "start": position,
                    "position": position,
                    "partial": partial,
                }
            )
    return [
        {
            "timeline": run["timeline"],
            "first": name_of(run["timeline"], run["start"], size),
            "last": name_of(run["timeline"], run["position"], size),
            "partial": run["partial"],
        }
        for run in runs
    ]


def _position(name: str, size: int) -> int:
    return int(name[8:16], 16) * (2**32 // size) + int(name[16:24], 16)


def name_of(timeline: int, position: int, size: int) -> str:
    """The file name of the segment at `position` (LSN divided by `size`) of a timeline."""
    log, segment = divmod(position, 2**32 // size)
    return f"{timeline:08X}{log:08X}{segment:08X}"


def fork(timeline: int, text: str) -> dict[str, Any]:
    """Where a timeline left its parent, from its history file: {timeline, parent, lsn, path}.

    `path` is every ancestor with the LSN at which it was left, oldest first.
    """
    path = []
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0].isdigit():
            path.append([int(words[0]), words[1]])
    return {"timeline": timeline, "parent": path[-1][0], "lsn": path[-1][1], "path": path}


def segment(base: Path, name: str) -> bytes:
    """A WAL or history file's content, wherever Barman has it; empty if it has not.

    Plain and gzip files are read here, which is twenty times faster than a barman process each.
    """
    for path in (
        base / "wals" / name[:16] / name,
        base / "wals" / name,
        base / "streaming" / name,
        base / "streaming" / f"{name}.partial",
    ):
        if not path.is_file():
            continue
        data = path.read_bytes()
        if data[:2] == GZIP:
            return gzip.decompress(data)
        if data[1:2] == WAL_PAGE or name.endswith(".history") or not data:
            return data
        return subprocess.run(
            ["barman", "get-wal", base.name, name], capture_output=True, check=False
        ).stdout
    return b""


def _commits(base: Path, name: str) -> Iterator[Commit]:
    return (item for item in scan(segment(base, name)) if isinstance(item, Commit))


def _with_commit(base: Path, run: dict[str, Any], size: int) -> dict[str, Any]:
    first = _position(run["first"], size)
    last = _position(run["last"], size)
    for position in range(last, max(first - 1, last - LOOK_BACK), -1):
        commit = None
        for commit in _commits(base, name_of(run["timeline"], position, size)):  # noqa: B007
            pass
        if commit is not None:
            return run | {"last_commit": commit._asdict()}
    return run | {"last_commit": None}


def _commit_before(base: Path, branch: dict[str, Any], size: int) -> dict[str, Any] | None:
    high, low = (int(part, 16) for part in branch["lsn"].split("/"))
    limit = (high << 32) + low
    for back in range(LOOK_BACK):
        position = (limit - 1) // size - back
        if position < 0:
            return None
        found = None
        for commit in _commits(base, name_of(branch["parent"], position, size)):
            if commit.lsn <= limit:
                found = commit
        if found is not None:
            return found._asdict()
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
