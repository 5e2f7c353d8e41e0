"""What a drill decides, from plain values alone. Times are seconds since 1970, sizes bytes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from host.domain.wal import DEFAULT_SEGMENT_SIZE

GIB = 2**30
# Replay keeps WAL and some temporary files beside the data.
REPLAY_ROOM = GIB
# What the disk must keep free for WAL that goes on arriving, beside room for the next backup.
FREE_SHARE = 0.05
# How far back a target may lie, and how far from now it must: a commit after it, of the marker
# that is written every few seconds, must have reached Barman.
LOOK_BACK_S = 24 * 3600.0
SETTLED_S = 30.0


@dataclass(frozen=True)
class Backup:
    """A complete backup: its `size` once it is restored, the bytes `stored` at Barman."""

    id: str
    size: int
    stored: int
    ended: float
    segment_size: int = DEFAULT_SEGMENT_SIZE


@dataclass(frozen=True)
class Surroundings:
    """What else goes on, on the Barman machine: `free` and `total` of the disk at /data."""

    backup_running: bool
    runbook_running: bool
    free: int
    total: int


def newest(backups: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The newest complete full backup in the answer of `barman list-backups`."""
    done = [
        backup
        for backup in backups
        if backup["status"] == "DONE" and backup.get("backup_type") != "incremental"
    ]
    return max(done, key=lambda backup: backup["backup_id"], default=None)


def busy(around: Surroundings) -> str | None:
    """Why a drill must not run now; None if nothing is in its way."""
    if around.runbook_running:
        return "a runbook is at work"
    if around.backup_running:
        return "a backup is being taken"
    return None


def reserve(total: int, backup: Backup) -> int:
    """What a drill leaves free: the next backup must find room, and WAL until then."""
    return backup.stored + int(FREE_SHARE * total)


def no_room(around: Surroundings, backup: Backup) -> str | None:
    """Why the disk is too small for a drill of this backup; None if it is not."""
    needed = backup.size + REPLAY_ROOM
    kept = reserve(around.total, backup)
    if around.free - needed >= kept:
        return None
    return (
        f"too little space: {_gib(around.free)} GiB are free at /data, the drill needs "
        f"{_gib(needed)} GiB, and {_gib(kept)} GiB must stay free for the next backup and its WAL"
    )


def earliest(backup: Backup, now: float) -> float:
    """The first moment that may be restored to."""
    # Whole seconds: the backup may have ended in the middle of one.
    return max(backup.ended + 1.0, now - LOOK_BACK_S)


def target(backup: Backup, now: float, uniform: Callable[[float, float], float]) -> float:
    """A random recent moment. `now` must be SETTLED_S after `earliest` or more."""
    return uniform(earliest(backup, now), now - SETTLED_S)


def continuity(count: int, first: int | None, last: int | None) -> str | None:
    """What is wrong with the marker rows, which are numbered one by one; None if nothing is."""
    if first is None or last is None:
        return "the marker table is empty at this moment"
    if count != last - first + 1:
        return f"{last - first + 1 - count} of the rows {first} to {last} are missing"
    return None


def _gib(size: int) -> str:
    return f"{size / GIB:.1f}"
