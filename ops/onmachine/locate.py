"""Where in the WAL that Barman holds a transaction committed, or a restore point was made.

Reads segments from the newest back and stops at the first hit; none is read twice.
"""

import json
from pathlib import Path

from host.domain.wal import name_of
from host.domain.wal_records import Commit, RestorePoint, scan
from ops.onmachine.catalogue import segment


def main(home: str, server: str, kind: str, value: str, size: str, runs: str) -> None:
    for timeline, first, last in json.loads(runs):
        for number in range(last, first - 1, -1):
            hit = _find(Path(home) / server, kind, value, name_of(timeline, number, int(size)))
            if hit is not None:
                print(json.dumps({"timeline": timeline} | hit))
                return
    print("null")


def _find(base: Path, kind: str, value: str, name: str) -> dict[str, object] | None:
    hit = None
    for item in scan(segment(base, name)):
        if isinstance(item, Commit):
            if kind == "xid" and item.xid == int(value):
                hit = item
        elif kind == "name" and item.name == value:
            hit = item
    if hit is None:
        return None
    begin = hit.begin if isinstance(hit, RestorePoint) else None
    return {"lsn": hit.lsn, "time": hit.time, "begin": begin}
