"""Commits read from a real segment of PostgreSQL 17; pg_waldump said the same when it was kept."""

import gzip
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from host.domain.wal import Run, name_of, parse_lsn, unbroken
from host.domain.wal_records import (
    _PAGE_HEADER,
    LONG_HEADER,
    PAGE,
    SHORT_HEADER,
    Commit,
    RestorePoint,
    continued,
    scan,
)
from ops.onmachine.catalogue import switchpoint

SEGMENT = gzip.decompress(
    (Path(__file__).with_name("recorded") / "000000040000000000000014.gz").read_bytes()
)


def test_what_pg_waldump_shows() -> None:
    found = list(scan(SEGMENT))
    assert [(item.xid, hex(item.lsn)) for item in found if isinstance(item, Commit)] == [
        (829, hex(0x14014788 + 405)),
        (830, hex(0x14019450 + 34)),
        (831, hex(0x14019520 + 34)),
    ]
    assert round(found[0].time, 6) == 1795421803.636274
    points = [item for item in found if isinstance(item, RestorePoint)]
    assert [point.name for point in points] == ["recorded"]


@given(st.integers(min_value=0, max_value=200_000))
def test_a_segment_cut_off_anywhere_gives_a_prefix(length: int) -> None:
    whole = [item.lsn for item in scan(SEGMENT)]
    part = [item.lsn for item in scan(SEGMENT[:length])]
    assert part == whole[: len(part)]


@given(st.integers(min_value=0, max_value=200_000))
def test_zeros_from_anywhere_give_a_prefix(length: int) -> None:
    whole = [item.lsn for item in scan(SEGMENT)]
    cut = SEGMENT[:length].ljust(len(SEGMENT), b"\0")
    part = [item.lsn for item in scan(cut)]
    assert part == whole[: len(part)]


def continuing(remaining: int, size: int = 8 * PAGE, base: int = 0x5E000000) -> bytes:
    """A segment that begins with `remaining` bytes of a record that began before it."""
    made = bytearray()
    for page in range(0, size, PAGE):
        header = SHORT_HEADER if page else LONG_HEADER
        info = 1 if remaining else 0
        made += _PAGE_HEADER.pack(0xD116, info, 3, base + page, remaining).ljust(header, b"\0")
        made += (b"x" * min(remaining, PAGE - header)).ljust(PAGE - header, b"\0")
        remaining = max(0, remaining - (PAGE - header))
    return bytes(made)


def test_a_segment_that_is_all_of_one_record() -> None:
    room = 8 * PAGE - LONG_HEADER - 7 * SHORT_HEADER
    whole = continuing(10 * room)
    assert (
        continued(whole)
        == continued(continuing(room))
        == continued(continuing(room - 3))
        == 8 * PAGE
    )
    for shorter in (0, 8, 40, PAGE, 5 * PAGE, room - 8):
        assert continued(continuing(shorter)) == 0
    assert continued(SEGMENT) == continued(b"") == 0


def test_a_page_that_does_not_continue_ends_it() -> None:
    whole = continuing(10 * 8 * PAGE)
    assert continued(whole[: 3 * PAGE].ljust(8 * PAGE, b"\0")) == 3 * PAGE
    other = continuing(10 * 8 * PAGE + 8)
    assert continued(whole[: 3 * PAGE] + other[3 * PAGE :]) == 3 * PAGE


def test_nonsense_gives_nothing() -> None:
    assert list(scan(b"")) == []
    assert list(scan(b"\xff" * 100_000)) == []


def test_runs_break_at_gaps_and_timelines() -> None:
    size = 2**24
    names = {name_of(1, position, size) for position in (2, 3, 5)} | {
        name_of(2, 6, size),
        name_of(2, 7, size) + ".partial",
    }
    assert [*unbroken(names, size)] == [
        Run(1, 2, 3, False),
        Run(1, 5, 5, False),
        Run(2, 6, 7, True),
    ]


def test_a_segment_that_is_archived_as_well_is_not_partial() -> None:
    name = name_of(1, 4, 2**24)
    assert unbroken({name, f"{name}.partial"}, 2**24)[0].partial is False


def test_a_history_file() -> None:
    text = "1\t0/8069300\tno recovery target specified\n\n2\t0/E019ED8\tno recovery target\n"
    assert switchpoint(4, text) == {
        "timeline": 4,
        "parent": 2,
        "lsn": parse_lsn("0/E019ED8"),
        "path": [[1, parse_lsn("0/8069300")], [2, parse_lsn("0/E019ED8")]],
    }
