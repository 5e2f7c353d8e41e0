"""Which of Barman's complete backups lack WAL, by the names of the files that are there.

Runs as the barman user; prints JSON: `torn`, backups without WAL that they need themselves, and
`missing`, how many segments there are not between the newest one and now.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from host.domain import backup_info
from host.domain.wal import PARTIAL, SEGMENT, missing, name_of, number_of, timeline_of


def main(home: str, server: str) -> None:
    base = Path(home) / server
    # A segment that is archived in between has been seen where it was received.
    there = {*_names(base / "streaming"), *_names(base / "incoming"), *_archived(base / "wals")}
    done = [
        (name, fields)
        for name, fields in backup_info.read(base).items()
        if fields["status"] == "DONE" and "begin_wal" in fields and "end_wal" in fields
    ]
    torn = [
        name
        for name, fields in done
        if not there.issuperset(
            own(fields["begin_wal"], fields["end_wal"], backup_info.segment_size(fields))
        )
    ]
    newest = done[-1][1] if done else None
    gone = missing(there, newest["begin_wal"], backup_info.segment_size(newest)) if newest else 0
    print(json.dumps({"torn": torn, "missing": gone}))


def own(begin: str, end: str, segment_size: int) -> Iterator[str]:
    """The segments from `begin` to `end`, without which a backup cannot be made consistent."""
    for number in range(number_of(begin, segment_size), number_of(end, segment_size) + 1):
        yield name_of(timeline_of(begin), number, segment_size)


def _archived(wals: Path) -> Iterator[str]:
    for folder in wals.iterdir():
        if folder.is_dir():
            yield from _names(folder)


def _names(folder: Path) -> Iterator[str]:
    """Complete or still being received, a segment is there."""
    for entry in folder.iterdir() if folder.is_dir() else ():
        name = entry.name.removesuffix(PARTIAL)
        if SEGMENT.fullmatch(name):
            yield name
