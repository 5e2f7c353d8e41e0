"""The restorable window as a picture: where every bar, mark and label goes. Pure.

Horizontal places are percent of the picture's width, so that it fits a phone and a wall without
scaling its letters. Vertical places are the template's matter.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ops.archive.window import BackupEntry, Window
from ops.archive.windows import Interval
from ops.screen import moment, span
from ops.watch.durability import Exposure

# Room at both ends, so that a mark at the edge is not cut in half.
MARGIN = 2.0
# Narrower than this, a bar cannot be seen.
LEAST_WIDTH = 0.8
MOST_TICKS = 8
# A label whose middle is further out would be cut on a phone, or stand on the word "now".
FIRST_LABEL, LAST_LABEL = 7.0, 85.0
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
STEPS_S = (
    *(1, 5, 15, 30),
    *(_MINUTE, 5 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE),
    *(_HOUR, 2 * _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(_DAY, 2 * _DAY, 7 * _DAY, 14 * _DAY, 28 * _DAY, 91 * _DAY, 364 * _DAY),
)


@dataclass(frozen=True)
class Bar:
    """A stretch of time. `kind`: restorable, quiet (nothing committed since), open (what was
    committed since is not at Barman), gap, or alone (commits did not wait for Barman)."""

    x: float
    width: float
    kind: str
    text: str


@dataclass(frozen=True)
class Mark:
    """A moment. `kind`: usable or unusable (a backup)."""

    x: float
    kind: str
    text: str


@dataclass(frozen=True)
class Row:
    label: str
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Tick:
    """A labelled moment of the axis; `minor` ones give way on a narrow screen."""

    x: float
    label: str
    minor: bool


@dataclass(frozen=True)
class Picture:
    begin: datetime
    end: datetime
    rows: tuple[Row, ...]
    ticks: tuple[Tick, ...]

    @property
    def kinds(self) -> set[str]:
        """Every kind of bar and mark that is in it, for the legend."""
        return {item.kind for row in self.rows for item in (*row.bars, *row.marks)}

    @property
    def facts(self) -> list[str]:
        """The same in words, for those who cannot see it."""
        return [
            f"{row.label}: {item.text}." for row in self.rows for item in (*row.bars, *row.marks)
        ]


@dataclass(frozen=True)
class Axis:
    """Time to percent of the width."""

    begin: datetime
    end: datetime

    def x(self, when: datetime) -> float:
        """The place of `when`; what lies outside is put at the edge."""
        share = (when - self.begin) / (self.end - self.begin)
        return MARGIN + min(max(share, 0.0), 1.0) * (100 - 2 * MARGIN)

    def bar(self, starts: datetime, ends: datetime, kind: str, text: str) -> Bar:
        """A bar wide enough to be seen, and never beyond the edge."""
        left = self.x(starts)
        width = max(self.x(ends) - left, LEAST_WIDTH)
        return Bar(min(left, 100 - MARGIN - width), width, kind, text)

    def ticks(self) -> tuple[Tick, ...]:
        """At most MOST_TICKS, at round times."""
        whole = (self.end - self.begin).total_seconds()
        step = next((s for s in STEPS_S if whole / s <= MOST_TICKS), STEPS_S[-1])
        first = -(-int(self.begin.timestamp()) // step) * step
        times = [
            datetime.fromtimestamp(at, UTC)
            for at in range(first, int(self.end.timestamp()) + 1, step)
        ]
        inside = [when for when in times if FIRST_LABEL <= self.x(when) <= LAST_LABEL]
        # Hours mean little without their day, so dates stay where every second label goes.
        first_date = next((i for i, when in enumerate(inside) if _is_midnight(when)), 0)
        return tuple(
            Tick(self.x(when), _label(when, step), minor=(index - first_date) % 2 == 1)
            for index, when in enumerate(inside[:MOST_TICKS])
        )


def _is_midnight(when: datetime) -> bool:
    return (when.hour, when.minute, when.second) == (0, 0, 0)


def _label(when: datetime, step: int) -> str:
    if step >= _DAY or _is_midnight(when):
        return f"{when.day} {when:%b}"
    return f"{when:%H:%M:%S}" if step < _MINUTE else f"{when:%H:%M}"


def picture(
    window: Window,
    backups: Iterable[BackupEntry],
    exposures: Iterable[Exposure],
    caught_up: bool | None,
) -> Picture | None:
    """The whole of it, up to the moment `window` was asked; None where there is nothing to show.

    `caught_up`: whether Barman has all WAL at that moment; None is unknown.
    """
    entries = [(entry, began) for entry in backups if (began := ended(entry))]
    starts = [*(stretch.starts for stretch in window.intervals), *(when for _, when in entries)]
    if not starts:
        return None
    begin = min(starts)
    end = max(window.at, *(stretch.ends for stretch in window.intervals), *starts)
    axis = Axis(begin, max(end, begin + timedelta(seconds=10)))
    newest = window.newest_timeline
    timelines = {stretch.timeline for stretch in window.intervals}
    timelines |= {entry.timeline or newest for entry, _ in entries}
    rows = [
        Row(
            f"Timeline {timeline}",
            tuple(
                _stretches(
                    axis,
                    [s for s in window.intervals if s.timeline == timeline],
                    window.at,
                    caught_up,
                )
            ),
            tuple(_mark(axis, e, at) for e, at in entries if (e.timeline or newest) == timeline),
        )
        for timeline in sorted(timelines)
    ]
    alone = tuple(
        _alone(axis, item, window.at)
        for item in exposures
        if item.ended_at is None or item.ended_at >= axis.begin
    )
    if alone:
        rows.append(Row("Commits did not wait for Barman", alone, ()))
    return Picture(axis.begin, axis.end, tuple(rows), axis.ticks())


def ended(entry: BackupEntry) -> datetime | None:
    """When a backup ended; when it began, by its name, where it never did."""
    if entry.ended_at is not None:
        return entry.ended_at
    try:
        return datetime.strptime(entry.id, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _stretches(
    axis: Axis, stretches: list[Interval], now: datetime, caught_up: bool | None
) -> Iterable[Bar]:
    before: Interval | None = None
    for stretch in sorted(stretches, key=lambda found: found.starts):
        if before is not None and stretch.after_gap:
            text = f"gap, nothing between {moment(before.ends)} and {moment(stretch.starts)}"
            yield axis.bar(before.ends, stretch.starts, "gap", text)
        text = f"restorable from {moment(stretch.starts)} to {moment(stretch.ends)}"
        yield axis.bar(stretch.starts, stretch.ends, "restorable", text)
        if stretch.current and caught_up is not None and stretch.ends < now:
            since = f"since {moment(stretch.ends)}"
            if caught_up:
                yield axis.bar(stretch.ends, now, "quiet", f"nothing was committed {since}")
            else:
                yield axis.bar(stretch.ends, now, "open", f"{since} Barman does not keep up")
        before = stretch


def _mark(axis: Axis, entry: BackupEntry, when: datetime) -> Mark:
    kind = "usable" if entry.restorable else "unusable"
    return Mark(axis.x(when), kind, f"backup {entry.id}, {entry.status}, {kind}")


def _alone(axis: Axis, item: Exposure, now: datetime) -> Bar:
    until = item.ended_at or max(now, item.began_at)
    lasted = span((until - item.began_at).total_seconds())
    text = f"{item.reason}, from {moment(item.began_at)} for {lasted}"
    return axis.bar(item.began_at, until, "alone", text + ("" if item.ended_at else ", lasts"))
