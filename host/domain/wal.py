"""WAL by name and number: positions (LSN), segments, timelines and their switchpoints. Pure.

A segment's *number* is its first position divided by the segment size; with its timeline it makes
the file name. PostgreSQL's own functions (pg_walfile_name and its kin) know the running server's
timeline and segment size only, and most of these questions are asked while it is down.
"""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

DEFAULT_SEGMENT_SIZE = 2**24
SEGMENT = re.compile(r"[0-9A-F]{24}")
# Barman archives in one directory for each timeline and 2**32 bytes.
DIRECTORY = re.compile(r"[0-9A-F]{16}")
PARTIAL = ".partial"
HISTORY = ".history"
# After every segment there is.
LAST_NAME = "F" * 24


def parse_lsn(text: str) -> int:
    """A position in bytes, from PostgreSQL's notation: 0/3000028."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def show_lsn(lsn: int) -> str:
    """A position as PostgreSQL writes it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def timeline_of(name: str) -> int:
    """The timeline of a segment's file name."""
    return int(name[:8], 16)


def number_of(name: str, segment_size: int) -> int:
    """The number of the segment of this file name."""
    return int(name[8:16], 16) * (2**32 // segment_size) + int(name[16:24], 16)


def start_of(name: str, segment_size: int) -> int:
    """The position at which the segment of this file name begins."""
    return number_of(name, segment_size) * segment_size


def name_of(timeline: int, number: int, segment_size: int) -> str:
    """The file name of a timeline's segment."""
    log, segment = divmod(number, 2**32 // segment_size)
    return f"{timeline:08X}{log:08X}{segment:08X}"


def not_after(timeline: int, lsn: int = 0) -> str:
    """The name of a segment of `timeline` that is not after the one with `lsn`, whatever size
    segments have."""
    return f"{timeline:08X}{lsn >> 32:08X}{0:08X}"


class Run(NamedTuple):
    """Consecutive segments of one timeline, by number, both included; `partial`: the last one is
    still being received."""

    timeline: int
    first: int
    last: int
    partial: bool


def unbroken(names: Iterable[str], segment_size: int) -> list[Run]:
    """Runs of consecutive segments, by timeline and position.

    `names` may contain `….partial`, the segment being received, which ends a run.
    """
    partial: dict[tuple[int, int], bool] = {}
    for name in names:
        key = (timeline_of(name), number_of(name, segment_size))
        partial[key] = partial.get(key, True) and name.endswith(PARTIAL)
    runs: list[Run] = []
    for (timeline, number), still_received in sorted(partial.items()):
        if runs and (runs[-1].timeline, runs[-1].last + 1) == (timeline, number):
            runs[-1] = runs[-1]._replace(last=number, partial=still_received)
        else:
            runs.append(Run(timeline, number, number, still_received))
    return runs


def missing(names: Iterable[str], since: str, segment_size: int) -> int:
    """How many segments are absent between others of their timeline, from segment `since` on."""
    begin = number_of(since, segment_size)
    later = [name for name in names if number_of(name, segment_size) >= begin]
    runs = unbroken(later, segment_size)
    return sum(
        after.first - before.last - 1
        for before, after in pairwise(runs)
        if before.timeline == after.timeline
    )


class Switchpoint(NamedTuple):
    """A timeline that was left, and the position where."""

    timeline: int
    lsn: int


def switchpoints(history: str) -> list[Switchpoint]:
    """A timeline's ancestors from its history file's text, oldest first; the last is its parent."""
    return [
        Switchpoint(int(words[0]), parse_lsn(words[1]))
        for words in map(str.split, history.splitlines())
        if len(words) >= 2 and words[0].isdigit()
    ]
