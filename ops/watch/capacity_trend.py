"""How fast it grows, and when that fills a disk. Pure; sizes bytes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import linear_regression

_DAY = timedelta(days=1)
# With less to measure by, one large import would be a trend.
GROWTH_BASIS = timedelta(days=2)
WAL_BASIS = timedelta(hours=6)
# Nobody plans a disk further ahead by a straight line.
HORIZON = timedelta(days=3 * 365)
LASTING = timedelta(days=365)
# What a disk should at most be filled to: alerts begin at 85 %.
QUIET_SHARE = 0.85


@dataclass(frozen=True)
class Sized:
    """A complete backup as it is stored, with the archived WAL from it to the next; `database` is
    what it takes once it is restored."""

    ended: datetime
    size: int
    wal: int
    database: int


def growth_per_day(backups: Sequence[Sized]) -> float | None:
    """By how much the database in a backup is larger than in the one a day before; `backups` oldest
    first. Never negative: what shrank once is no promise. None with too little to measure by."""
    if len(backups) < 2 or backups[-1].ended - backups[0].ended < GROWTH_BASIS:
        return None
    days = [(backup.ended - backups[0].ended) / _DAY for backup in backups]
    slope, _ = linear_regression(days, [backup.database for backup in backups])
    return max(0.0, slope)


def wal_per_day(backups: Sequence[Sized], now: datetime) -> float | None:
    """WAL archived a day since the oldest backup. None with too little to measure by."""
    if not backups or now - backups[0].ended < WAL_BASIS:
        return None
    return sum(backup.wal for backup in backups) / ((now - backups[0].ended) / _DAY)


def barman_content(
    days: float,
    backups: Sequence[Sized],
    growth: float,
    wal: float,
    copies: int,
    interval: timedelta,
) -> float:
    """How many bytes more than now Barman's disk holds after so many days: new backups, stored as
    the newest is and each a little larger by the database's `growth` a day, of which `copies` are
    kept, and WAL as far back as the oldest of them."""
    step = interval / _DAY
    last = backups[-1]
    more = growth * step * last.size / max(last.database, 1)
    new = [last.size + more * number for number in range(1, int(days / step) + 1)]
    kept = [*(float(backup.size) for backup in backups), *new][-copies:]
    backups_more = sum(kept) - sum(backup.size for backup in backups)
    wal_now = sum(backup.wal for backup in backups)
    wal_more = min(wal_now + wal * days, wal * step * copies) - wal_now
    return backups_more + max(0.0, wal_more)


def when_full(now: datetime, free: int, content: Callable[[float], float]) -> datetime | None:
    """The first day on which `content` (bytes more than now, after so many days) exceeds `free`;
    None if that is not within HORIZON."""
    for day in range(HORIZON.days + 1):
        if content(day) > free:
            return now + day * _DAY
    return None


def size_that_lasts(used: int, content: Callable[[float], float]) -> float:
    """The size of a disk that is filled to QUIET_SHARE after a year."""
    return (used + content(LASTING.days)) / QUIET_SHARE
