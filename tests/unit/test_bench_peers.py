"""Ours beside the others: rounds, ratios, the load's latencies and the page, from made-up runs."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.peers import load, page, rounds
from bench.peers.data import sets
from bench.peers.pgbackrest import configuration
from bench.peers.replaying import began, seconds_per_segment
from bench.peers.rounds import (
    COLD,
    FULL,
    GOALS,
    LZ4,
    OURS,
    REPLAY,
    RESTORE,
    WARM,
    ZST,
    Results,
    Sample,
    Spread,
)

DATA = "pgbench"
TIME, BYTES = GOALS[0], GOALS[1]
JOURNAL = """\
1764558000.100000 m postgres[7]: 2026-12-01 03:00:00 UTC [7] LOG:  starting PostgreSQL 17
1764558001.000000 m postgres[9]: LOG:  restored log file "00000001000000000000000A" from archive
1764558001.250000 m postgres[9]: LOG:  restored log file "00000001000000000000000B" from archive
1764558002.000000 m postgres[9]: LOG:  restored log file "00000001000000000000000C" from archive
1764558009.000000 m postgres[9]: LOG:  restored log file "00000002.history" from archive
"""


def sample(
    way: str, number: int, seconds: float, stored: int = 100_000_000, stage: str = FULL
) -> Sample:
    return Sample(
        DATA, number, rounds.temperature(number), stage, way, seconds=seconds, stored=stored
    )


def results(*samples: Sample) -> Results:
    made = Results("a computer", "abc1234", "2026-12-01 05:00", 54.2, 0.3, {"pgBackRest": "2.55"})
    made.sizes[DATA] = 300_000_000
    made.samples += samples
    return made


def test_cold_and_warm_rounds_take_turns_and_each_begins_with_another_way() -> None:
    assert [rounds.temperature(number) for number in range(4)] == [COLD, WARM, COLD, WARM]
    orders = [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]
    assert [rounds.turn("abc", number) for number in range(4)] == orders
    assert rounds.turn([], 3) == []


def test_ratios_are_taken_within_a_round_against_the_best_of_theirs() -> None:
    # The second round ran on a computer half as fast: its ratio is as good.
    found = TIME.ratio(
        [
            *(sample(OURS, 0, 5.0), sample(ZST, 0, 10.0), sample(LZ4, 0, 8.0)),
            *(sample(OURS, 1, 10.0), sample(ZST, 1, 16.0), sample(LZ4, 1, 20.0)),
            *(sample(OURS, 2, 9.0), sample(ZST, 2, 9.0), sample(LZ4, 2, 9.0)),
        ],
        DATA,
    )
    assert found == Spread(0.625, 0.625, 1.0, 3)


def test_bytes_are_those_of_the_quickest_of_theirs() -> None:
    quick = [sample(ZST, 0, 9.0, stored=100), sample(LZ4, 0, 8.0, stored=200)]
    found = BYTES.ratio([sample(OURS, 0, 5.0, stored=150), *quick], DATA)
    assert found == Spread(0.75, 0.75, 0.75, 1)


@pytest.mark.parametrize("way", [OURS, ZST, LZ4])
def test_a_round_in_which_one_failed_meets_no_goal(way: str) -> None:
    whole = [sample(OURS, 0, 5.0), sample(ZST, 0, 10.0), sample(LZ4, 0, 8.0)]
    broken = [replace(each, failed="no space") if each.way == way else each for each in whole]
    assert page.verdict(TIME, whole, DATA) == "met: 0.62"
    assert not page.verdict(TIME, broken, DATA).startswith("met")
    assert page.verdict(TIME, [each for each in whole if each.way != way], DATA) == "not measured"


def test_where_ours_failed_once_good_rounds_do_not_hide_it() -> None:
    good = [sample(OURS, 0, 5.0), sample(ZST, 0, 10.0), sample(LZ4, 0, 8.0)]
    bad = replace(sample(OURS, 1, 0.0), seconds=None, failed="no space")
    said = page.verdict(TIME, [*good, bad], DATA)
    assert said == "**not met**: failed in 1 of 2 rounds"


def test_what_was_not_measured_is_no_goal_met() -> None:
    zero = [sample(OURS, 0, 5.0), sample(ZST, 0, 10.0), sample(LZ4, 0, 8.0)]
    p99 = GOALS[-1]
    assert page.verdict(p99, zero, DATA) == "not measured"
    fast = [replace(each, p99=20.0 if each.way == OURS else 10.0) for each in zero]
    assert page.verdict(p99, fast, DATA) == "**not met**: 2.00"


def test_what_we_do_not_have_yet_is_said_in_both_tables() -> None:
    _, goals = page.goal_rows(results())
    said = {row[0]: row[2] for row in goals}
    assert said["delta restore, time of pgBackRest's"] == "not measured: there is none yet"
    assert said["incremental, time of our full"] == "not measured: there are none yet"
    _, ways = page.way_rows([], DATA)
    assert [row[1] for row in ways] == ["ours: there are none yet", "ours: there is none yet"]


def test_the_latencies_are_those_of_the_moment() -> None:
    lines = [f"0 {number} {number * 1000} 0 {100 + number} 500000 0" for number in range(100)]
    log = "\n".join(lines)
    seen = load.parse(f"{log}\n1 5 skipped 0 150 0 0\npgbench: a warning\n")
    assert len(seen) == 100
    assert load.percentiles(seen, 0, 1000) == (49.0, 98.0)
    assert load.percentiles(seen, 110, 120) == (14.0, 19.0)
    assert load.percentiles(seen, 1000, 2000) is None


def test_seconds_of_a_segment_are_those_between_the_same_segments() -> None:
    first = "00000001000000000000000A"
    assert seconds_per_segment(JOURNAL, first) == pytest.approx(0.5)
    assert seconds_per_segment(JOURNAL, first[:-1] + "B") == pytest.approx(0.75)
    assert seconds_per_segment(JOURNAL, first[:-1] + "C") is None
    assert began(JOURNAL) == 1764558000.1
    assert began("") is None


def test_sets_share_the_size_and_small_tables_end_at_twenty_thousand_files() -> None:
    few, many = sets(100), sets(100_000)
    assert [each.name for each in few] == [each.name for each in many]
    assert "1..833 LOOP" in few[3].fill
    assert "1..10000 LOOP" in many[3].fill
    assert few[0].scale == 1
    # A twentieth of pgbench's 100,000 accounts for each of its scale.
    assert "aid <= 5000;" in few[0].change


def test_configuration_is_a_line_for_each_setting() -> None:
    assert configuration({"a": "1", "b": "y"}) == "a=1\nb=y\n"


def test_results_are_stored_and_shown(tmp_path: Path) -> None:
    failed = Sample(DATA, 0, COLD, RESTORE, LZ4, failed="ERROR: [082]: a | b\nand more")
    made = results(
        *(sample(OURS, 0, 5.0), sample(ZST, 0, 10.0), sample(LZ4, 0, 8.0)),
        *(sample(OURS, 1, 4.0), sample(OURS, 3, 6.0)),
        *(sample(OURS, 0, 0.0421, stage=REPLAY), failed),
    )
    file = tmp_path / "lab" / "performance.json"
    assert rounds.load(file) is None
    made.store(file)
    assert rounds.load(file) == made
    text = page.text(made)
    assert "Commit abc1234, ended 2026-12-01 05:00 UTC after 54\nminutes." in text
    assert "a computer; both machines" in text
    assert "| full backup | ours | 5.0 | 5.0 (4.0-6.0) | 3 | 100 |" in text
    assert "| replay | ours | 0.042 | - | 1 |" in text
    # A failure has its words, and no figure.
    words = "ERROR: [082]: a \\| b and more"
    assert f"| restore | pgBackRest lz4 | - | - | 0, 1 failed: {words} |" in text


def test_every_line_of_a_table_has_as_many_cells() -> None:
    ways = (OURS, rounds.WHOLE_CLONE, ZST, LZ4, rounds.RSYNC, rounds.TAR, rounds.CP)
    text = page.text(results(*(sample(way, 0, 1.0, stage=RESTORE) for way in ways)))
    table = text.partition("## Pgbench")[2].splitlines()
    assert {line.count("|") for line in table if line} == {12}


def test_the_chart_has_a_bar_for_each_way_as_long_as_it_took() -> None:
    drawn = page.chart(results(sample(OURS, 0, 5.0), sample(ZST, 0, 10.0)))
    root = ElementTree.fromstring(drawn)  # noqa: S314 - our own
    bars = [each for each in root.iter() if each.tag.endswith("rect")][1:]
    ours, theirs = (float(each.attrib["width"]) for each in bars)
    assert theirs == pytest.approx(2 * ours)
