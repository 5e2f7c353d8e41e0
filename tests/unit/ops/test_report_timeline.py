"""Where the time line puts things: always inside, always in order, never on top of each other."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ops.archive.window import BackupEntry, Window
from ops.archive.windows import Interval
from ops.report import charts
from ops.report.timeline import LEAST_WIDTH, MARGIN, MOST_TICKS, Axis, Picture, picture

BEGIN = datetime(2026, 1, 1, 3, 17, 9, tzinfo=UTC)
YEAR_S = 366 * 86400
moments = st.floats(0, 1).map(lambda share: BEGIN + timedelta(seconds=round(share * YEAR_S)))
axes = st.builds(
    lambda offset, length: Axis(
        BEGIN + timedelta(seconds=offset), BEGIN + timedelta(seconds=offset + length)
    ),
    st.integers(0, YEAR_S),
    st.floats(1, 26).map(lambda power: 10 + 2**power),
)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, list[BackupEntry]]:
    """Stretches of up to three timelines with gaps, and backups, usable or not."""
    intervals, entries = [], []
    for timeline in range(1, draw(st.integers(1, 3)) + 1):
        edges = sorted(draw(st.lists(moments, min_size=2, max_size=6, unique=True)))
        for number, (starts, ends) in enumerate(zip(edges[::2], edges[1::2], strict=False)):
            name = f"{starts:%Y%m%dT%H%M%S}"
            entries.append(_entry(name, timeline, starts, usable=True))
            intervals.append(_interval(timeline, name, starts, ends, after_gap=number > 0))
    for when in draw(st.lists(moments, max_size=4)):
        entries.append(_entry(f"{when:%Y%m%dT%H%M%S}", None, None, usable=False))
    newest = max(intervals, key=lambda found: (found.timeline, found.ends))
    newest.current = True
    at = max(found.ends for found in intervals) + timedelta(
        seconds=draw(st.integers(0, 10 * 86400))
    )
    return Window(at=at, newest_timeline=newest.timeline, intervals=intervals), entries


def _entry(name: str, timeline: int | None, ended: datetime | None, usable: bool) -> BackupEntry:
    return BackupEntry(
        id=name,
        status="DONE" if usable else "FAILED",
        timeline=timeline,
        ended_at=ended,
        size_bytes=1,
        restored_bytes=1,
        restorable=usable,
        verified=None,
        verified_at=None,
        error=None,
    )


def _interval(
    timeline: int, backup: str, starts: datetime, ends: datetime, *, after_gap: bool
) -> Interval:
    return Interval(
        timeline=timeline,
        backups=[backup],
        starts=starts,
        ends=ends,
        start_lsn=1,
        end_lsn=2,
        current=False,
        includes_partial=False,
        after_gap=after_gap,
    )


def drawn(case: tuple[Window, list[BackupEntry]], caught_up: bool | None) -> Picture:
    found = picture(*case, exposures=[], caught_up=caught_up)
    assert found is not None
    return found


@given(windows(), st.sampled_from([True, False, None]))
def test_everything_is_inside_and_can_be_seen(
    case: tuple[Window, list[BackupEntry]], caught_up: bool | None
) -> None:
    for row in drawn(case, caught_up).rows:
        for bar in row.bars:
            assert bar.width >= LEAST_WIDTH
            assert MARGIN - 1e-6 <= bar.x <= bar.x + bar.width <= 100 - MARGIN + 1e-6
        for mark in row.marks:
            assert MARGIN <= mark.x <= 100 - MARGIN


@given(windows())
def test_nothing_is_left_out(case: tuple[Window, list[BackupEntry]]) -> None:
    window, entries = case
    rows = drawn(case, None).rows
    kinds = [bar.kind for row in rows for bar in row.bars]
    assert kinds.count("restorable") == len(window.intervals)
    assert kinds.count("gap") == sum(found.after_gap for found in window.intervals)
    assert sum(len(row.marks) for row in rows) == len(entries)
    assert len(rows) == len({found.timeline for found in window.intervals})


@given(axes, st.lists(st.floats(0, 1), min_size=2, max_size=20))
def test_later_is_further_right(axis: Axis, shares: list[float]) -> None:
    times = sorted(axis.begin + share * (axis.end - axis.begin) for share in shares)
    places = [axis.x(when) for when in times]
    assert places == sorted(places)


@given(axes)
def test_ticks_are_few_and_far_enough_apart(axis: Axis) -> None:
    ticks = axis.ticks()
    assert len(ticks) <= MOST_TICKS
    dates = [tick for tick in ticks if ":" not in tick.label]
    assert len({tick.label for tick in dates}) == len(dates)
    if len(dates) < len(ticks):
        assert not any(tick.minor for tick in dates)
    places = [tick.x for tick in ticks]
    assert all(after - before >= 8 for before, after in pairwise(places))


@given(axes)
def test_what_is_older_or_newer_stands_at_the_edge(axis: Axis) -> None:
    assert axis.x(axis.begin - timedelta(days=9)) == MARGIN
    assert axis.x(axis.end + timedelta(days=9)) == 100 - MARGIN


@given(windows())
def test_what_came_after_the_last_commit_depends_on_whether_barman_keeps_up(
    case: tuple[Window, list[BackupEntry]],
) -> None:
    window, _ = case
    expected = int(all(stretch.ends < window.at for stretch in window.intervals))
    for caught_up, kind in ((True, "quiet"), (False, "open")):
        kinds = [bar.kind for row in drawn(case, caught_up).rows for bar in row.bars]
        assert kinds.count(kind) <= 1
        assert kinds.count(kind) >= expected
    assert {"quiet", "open"}.isdisjoint(drawn(case, None).kinds)


def test_nothing_to_show_is_no_picture() -> None:
    assert picture(Window(at=BEGIN, newest_timeline=0, intervals=[]), [], [], True) is None


@given(st.lists(st.one_of(st.none(), st.floats(0, 1e15)), min_size=1, max_size=40))
def test_bars_stand_side_by_side_and_as_high_as_their_amount(amounts: list[float | None]) -> None:
    values = [charts.Value(amount, "text", "label", "shown") for amount in amounts]
    made = charts.chart(values)
    assert made is not None
    for before, after in pairwise(made.columns):
        assert before.x + before.width < after.x
    assert made.columns[-1].x + made.columns[-1].width <= 100
    by_amount = sorted(zip(amounts, made.columns, strict=True), key=lambda pair: pair[0] or 0)
    heights = [column.height for _, column in by_amount]
    assert heights == sorted(heights) and heights[-1] <= 100.001
    assert all(column.failed == (amount is None) for amount, column in by_amount)


def test_no_values_are_no_chart() -> None:
    assert charts.chart([]) is None
