"""What was measured, how rounds take turns, and what is reckoned from them. Pure, apart from the
file that the results are kept in."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import TypeVar

FULL, INCREMENTAL, RESTORE = "full backup", "incremental backup", "restore"
DELTA, REPLAY, ALONE = "delta restore", "replay", "load alone"
STAGES = (ALONE, FULL, INCREMENTAL, RESTORE, DELTA, REPLAY)
COLD, WARM = "cold", "warm"
OURS, WHOLE_CLONE = "ours", "ours, ops clone from command to open"
ZST, LZ4, BASEBACKUP = "pgBackRest zst", "pgBackRest lz4", "pg_basebackup"
RSYNC, TAR, CP = "rsync", "tar, zstd, ssh", "cp"
PGBACKREST = (ZST, LZ4)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Sample:
    """One way, once. `seconds` are those of wall-clock; of a replay, of one segment. CPU is in
    seconds, the load's included; `moved` and `stored` are bytes; `p50` and `p99` are milliseconds
    of the load's transactions meanwhile. None where it was not measured. With `failed`, what it
    died of, nothing else counts."""

    data: str
    round: int
    temperature: str
    stage: str
    way: str
    seconds: float | None = None
    cpu_postgres: float | None = None
    cpu_barman: float | None = None
    moved: int | None = None
    stored: int | None = None
    p50: float | None = None
    p99: float | None = None
    failed: str = ""


@dataclass
class Results:
    """A whole run: `ended` is a UTC time to the minute, `load` the computer's when it began,
    `sizes` bytes of each set as PostgreSQL has it, `versions` name what was measured."""

    machine: str
    commit: str
    ended: str
    minutes: float
    load: float
    versions: dict[str, str]
    sizes: dict[str, int] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)

    def store(self, file: Path) -> None:
        """Keep them for `load`."""
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")


def load(file: Path) -> Results | None:
    """What the last run has stored; None if there was none."""
    if not file.exists():
        return None
    stored = json.loads(file.read_text())
    return Results(**{**stored, "samples": [Sample(**each) for each in stored["samples"]]})


def temperature(number: int) -> str:
    """Of the round with this number, from 0 on."""
    return WARM if number % 2 else COLD


def turn(items: Sequence[Item], number: int) -> list[Item]:
    """The items in the order of the round with this number: each time another one is first."""
    first = number % len(items) if items else 0
    return [*items[first:], *items[:first]]


def share_of(seconds_left: float, sets_left: int) -> float:
    """How many seconds of those that are left one of the sets may take."""
    return seconds_left / sets_left


@dataclass(frozen=True)
class Spread:
    """Of some values: the median, what it lies between, and how many there were."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread | None":
        """None of nothing."""
        if not values:
            return None
        return cls(median(values), min(values), max(values), len(values))


def chosen(
    samples: Sequence[Sample], *, stage: str, way: str, data: str, at: str | None = None
) -> list[Sample]:
    """Those that went well, of one way; at one temperature, or at both."""
    wanted = (stage, way, data)
    return [
        each
        for each in samples
        if (each.stage, each.way, each.data) == wanted
        and not each.failed
        and at in (None, each.temperature)
    ]


@dataclass(frozen=True)
class Goal:
    """A ratio that is not to be above `limit`. `ours` and `theirs` are pairs of a stage and a way;
    the least of `theirs` counts, by `measure`. `of_quickest`: of theirs, not the least counts but
    that of the one that took the least time."""

    text: str
    limit: float
    ours: tuple[str, str]
    theirs: tuple[tuple[str, str], ...]
    measure: Callable[[Sample], float | None]
    of_quickest: bool = False

    def ratio(self, samples: Sequence[Sample], data: str) -> Spread | None:
        """Round by round, of those rounds in which everything compared went well; None if there
        was no such round."""
        found = []
        for number in sorted({each.round for each in samples if each.data == data}):
            one = self._in_round(samples, data, number)
            if one is not None:
                found.append(one)
        return Spread.of(found)

    def _in_round(self, samples: Sequence[Sample], data: str, number: int) -> float | None:
        def only(stage: str, way: str) -> Sample | None:
            there = chosen(samples, stage=stage, way=way, data=data)
            return next((each for each in there if each.round == number), None)

        ours, theirs = only(*self.ours), [only(*each) for each in self.theirs]
        there = [each for each in theirs if each is not None]
        if ours is None or len(there) < len(theirs):
            return None
        if self.of_quickest:
            there = [min(there, key=lambda each: each.seconds or float("inf"))]
        values = [self.measure(each) for each in there]
        known = [value for value in values if value]
        mine = self.measure(ours)
        return mine / min(known) if mine is not None and len(known) == len(values) else None


def seconds(sample: Sample) -> float | None:
    return sample.seconds


def stored(sample: Sample) -> float | None:
    return sample.stored


def p99(sample: Sample) -> float | None:
    return sample.p99


def _pgbackrest(stage: str) -> tuple[tuple[str, str], ...]:
    return tuple((stage, way) for way in PGBACKREST)


GOALS = (
    Goal("full backup, time of pgBackRest's best", 1.0, (FULL, OURS), _pgbackrest(FULL), seconds),
    Goal(
        "full backup, bytes of pgBackRest's quickest",
        1.1,
        (FULL, OURS),
        _pgbackrest(FULL),
        stored,
        of_quickest=True,
    ),
    Goal("incremental, time of our full", 0.2, (INCREMENTAL, OURS), ((FULL, OURS),), seconds),
    Goal(
        "incremental, time of pgBackRest's best",
        1.1,
        (INCREMENTAL, OURS),
        _pgbackrest(INCREMENTAL),
        seconds,
    ),
    Goal("restore, time of pgBackRest's best", 1.0, (RESTORE, OURS), _pgbackrest(RESTORE), seconds),
    Goal("restore, time of cp of the same", 1.3, (RESTORE, OURS), ((RESTORE, CP),), seconds),
    Goal("delta restore, time of pgBackRest's", 1.1, (DELTA, OURS), ((DELTA, ZST),), seconds),
    Goal("replay, time of archive-get async", 1.0, (REPLAY, OURS), ((REPLAY, ZST),), seconds),
    Goal("replay, time of a local directory's", 1 / 0.9, (REPLAY, OURS), ((REPLAY, CP),), seconds),
    Goal("p99 under a full backup, of pgBackRest's", 1.0, (FULL, OURS), _pgbackrest(FULL), p99),
)
# What a row says where there is nothing to measure yet.
NOT_YET = {(INCREMENTAL, OURS): "there are none yet", (DELTA, OURS): "there is none yet"}
