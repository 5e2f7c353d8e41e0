"""Where in the WAL that Barman holds a transaction committed, or a restore point was made.

Reads segments from the newest back and stops at the first hit; none is read twice.
"""

import json
import subprocess
import sys

from ops.onmachine.catalogue import name_of
from ops.onmachine.wal import Commit, scan


def main(server: str, kind: str, value: str, size: str, runs: str) -> None:
    for timeline, first, last in json.loads(runs):
        for position in range(last, first - 1, -1):
            hit = _find(server, kind, value, name_of(timeline, position, int(size)))
            if hit is not None:
                print(json.dumps({"timeline": timeline} | hit))
                return
            print(f"{timeline} {position}", file=sys.stderr)
    print("null")


def _find(server: str, kind: str, value: str, name: str) -> dict[str, object] | None:
    data = subprocess.run(
        ["barman", "get-wal", "--partial", server, name], capture_output=True, check=False
    ).stdout
    hit = None
    for item in scan(data):
        if isinstance(item, Commit):
            if kind == "xid" and item.xid == int(value):
                hit = item
        elif kind == "name" and item.name == value:
            hit = item
    return {"lsn": hit.lsn, "time": hit.time} if hit else None
