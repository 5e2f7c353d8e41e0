"""Intervals and plans on a recorded store: four timelines, a hole between the first two."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from host.domain.wal import parse_lsn, show_lsn
from ops.archive import plan, targets, window, windows
from ops.archive.catalogue import Backup, Catalogue
from ops.archive.plan import Located
from ops.archive.targets import Kind, Target
from ops.errors import OperatorError

RECORDED = Path(__file__).with_name("recorded")
STORE = Catalogue.model_validate(json.loads((RECORDED / "catalogue.json").read_text()))
NOW = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)


def choose(target: Target, **more) -> plan.Plan:
    return plan.choose(STORE, target, NOW, **more)


def without_segment(position: int, timeline: int) -> Catalogue:
    """The store with one segment lost."""
    runs = []
    for run in STORE.runs:
        first, last = STORE.position(run.first), STORE.position(run.last)
        if run.timeline != timeline or not first < position < last:
            runs.append(run)
            continue
        before = f"{run.first[:16]}{position - 1:08X}"
        after = f"{run.first[:16]}{position + 1:08X}"
        runs.append(run.model_copy(update={"last": before, "last_commit": None}))
        runs.append(run.model_copy(update={"first": after}))
    return STORE.model_copy(update={"runs": tuple(runs)})


def test_every_timeline_has_its_stretch() -> None:
    found = windows.intervals(STORE)
    assert [(s.timeline, len(s.backups)) for s in found] == [(1, 2), (2, 1), (3, 2), (4, 2)]
    assert [s.current for s in found] == [False, False, False, True]


def test_a_hole_at_the_switchpoint_cuts_the_older_backups_off() -> None:
    # Timeline 2's first segment is missing, so backups of timeline 1 do not lead onto it.
    found = windows.intervals(STORE)
    assert found[1].starts > found[0].ends


def test_a_lost_segment_parts_a_stretch() -> None:
    found = [s for s in windows.intervals(without_segment(5, 1)) if s.timeline == 1]
    assert [(len(s.backups), s.after_gap) for s in found] == [(1, False), (1, True)]


def test_what_lies_behind_a_gap_is_not_taken_for_the_latest_state() -> None:
    assert choose(Target()).ends_early is None
    cut = STORE.model_copy(
        update={
            "backups": tuple(b for b in STORE.backups if b.timeline == 1)[:1],
            "switchpoints": (),
        }
    )
    only_first = cut.model_copy(update={"runs": tuple(r for r in cut.runs if r.timeline == 1)})
    assert plan.choose(only_first, Target(), NOW).ends_early is None
    runs = tuple(r for r in without_segment(5, 1).runs if r.timeline == 1)
    holed = only_first.model_copy(update={"runs": runs})
    chosen = plan.choose(holed, Target(), NOW)
    assert chosen.ends_early is not None
    assert "backup --wait" in chosen.notes[0]
    behind = targets.parse(time="2026-11-23 07:30:00Z")
    assert plan.choose(only_first, behind, NOW)
    with pytest.raises(OperatorError, match="after a gap in the WAL"):
        plan.choose(holed, behind, NOW)


def test_latest_follows_the_newest_timeline_from_its_newest_backup() -> None:
    chosen = choose(Target())
    assert (chosen.timeline, chosen.backup_id) == (4, "20261123T074549")


def test_a_moment_takes_the_backup_that_leaves_least_to_replay() -> None:
    early = targets.parse(time="2026-11-23 07:00:00Z")
    late = targets.parse(time="2026-11-23 07:25:00Z")
    assert choose(early, timeline=1).backup_id == "20261123T065817"
    assert choose(late, timeline=1).backup_id == "20261123T072317"


def test_a_moment_between_switchpoint_and_end_of_an_old_timeline_is_ambiguous() -> None:
    target = targets.parse(time="2026-11-23 07:41:07.5Z")
    with pytest.raises(OperatorError, match="--timeline 2") as caught:
        choose(target)
    assert "--timeline 4" in caught.value.happened
    assert choose(target, timeline=2).timeline == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("2026-11-23 09:00:00Z", "in the future"),
        ("2026-11-23 06:00:00Z", "before the end of the first complete backup"),
        ("yesterday", "is not a time"),
    ],
)
def test_impossible_moments(text: str, words: str) -> None:
    with pytest.raises(OperatorError, match=words):
        choose(targets.parse(time=text))


def test_a_moment_in_a_gap_is_refused_with_its_edges() -> None:
    store = without_segment(5, 1)
    with pytest.raises(OperatorError, match="in a gap") as caught:
        plan.choose(store, targets.parse(time="2026-11-23 07:10:00Z"), NOW, timeline=1)
    assert "07:23:22" in caught.value.happened


def test_after_the_last_commit_is_the_latest_state_and_says_so() -> None:
    chosen = choose(targets.parse(time="2026-11-23 08:29:00Z"))
    assert "latest state" in chosen.notes[0]


def test_unknown_failed_or_too_young_backups() -> None:
    with pytest.raises(OperatorError, match="no backup 20200101T000000"):
        choose(Target(), backup_id="20200101T000000")
    failed = STORE.backups[-1].model_copy(update={"status": "FAILED", "error": "disk full"})
    store = STORE.model_copy(update={"backups": (*STORE.backups[:-1], failed)})
    with pytest.raises(OperatorError, match="FAILED: disk full"):
        plan.choose(store, Target(), NOW, backup_id=failed.backup_id)
    with pytest.raises(OperatorError, match="only goes forward"):
        choose(targets.parse(time="2026-11-23 07:00:00Z"), timeline=1, backup_id="20261123T072317")


def test_a_backup_of_an_abandoned_branch_leads_nowhere_else() -> None:
    with pytest.raises(OperatorError, match=r"No WAL without gaps leads from .* to timeline 4"):
        choose(Target(), backup_id="20261123T074213", timeline=4)


def test_positions() -> None:
    assert choose(targets.parse(lsn="0/C000100")).timeline == 4
    with pytest.raises(OperatorError, match="outside the WAL"):
        choose(targets.parse(lsn="1/0"))
    assert show_lsn(parse_lsn("2/A0000028")) == "2/A0000028"


def test_what_was_located_on_an_older_timeline_is_restored_there() -> None:
    spot = Located(timeline=2, lsn=234987045, time=NOW - timedelta(hours=1))
    chosen = choose(targets.parse(xid="827"), located=spot)
    assert chosen.timeline == 4  # before the switchpoint: part of the newest timeline's own history
    later = spot.model_copy(update={"lsn": parse_lsn("0/E019FF0")})
    assert choose(targets.parse(xid="828"), located=later).timeline == 2


def test_a_restore_point_is_the_one_that_was_found_whatever_others_have_its_name() -> None:
    begin, end = parse_lsn("0/E019FA0"), parse_lsn("0/E019FF0")
    spot = Located(timeline=4, lsn=end, time=NOW - timedelta(hours=1), begin=begin)
    chosen = choose(targets.parse(name="before_release"), located=spot)
    assert chosen.restore_point == "0/E019FA0"
    assert any("the newest of that name" in note for note in chosen.notes)


def test_no_backup_at_all() -> None:
    empty = STORE.model_copy(update={"backups": ()})
    with pytest.raises(OperatorError, match="nothing can be restored"):
        plan.choose(empty, Target(), NOW)


@pytest.mark.parametrize(
    "options",
    [
        {"xid": "2"},
        {"xid": "x"},
        {"lsn": "17"},
        {"name": ""},
        {"name": "a\nb"},
        {"name": "n", "exclusive": True},
        {"exclusive": True},
        {"xid": "7", "lsn": "0/1"},
    ],
)
def test_targets_that_are_none(options) -> None:
    with pytest.raises(OperatorError):
        targets.parse(**options)


def test_the_picture_has_a_line_a_timeline() -> None:
    lines = window.picture(window.window(STORE, NOW))
    assert len(lines) == 5
    assert ">" in lines[3]
    assert targets.parse().kind is Kind.LATEST


def snapshot(**changed: object) -> Backup:
    """Taken on timeline 4 after its newest backup."""
    newest = STORE.backup("20261123T074549")
    assert newest and newest.end_xlog and newest.end_time
    update = {
        "backup_id": "snapshot-20261123T074700Z",
        "begin_xlog": newest.end_xlog + 0x28,
        "end_xlog": newest.end_xlog + 0x100,
        "end_time": newest.end_time + timedelta(minutes=1),
        "local": True,
        **changed,
    }
    return newest.model_copy(update=update)


def with_snapshots(*found: Backup) -> Catalogue:
    return STORE.model_copy(update={"snapshots": found})


def test_a_local_snapshot_leaves_less_to_replay_than_barmans_newest_backup() -> None:
    chosen = plan.choose(with_snapshots(snapshot()), Target(), NOW)
    assert (chosen.backup_id, chosen.local) == ("snapshot-20261123T074700Z", True)
    assert chosen.barman_backup_id == "20261123T074549"
    assert (chosen.room, chosen.timeline) == (0, 4)
    named = plan.choose(with_snapshots(snapshot()), Target(), NOW, backup_id="20261123T074549")
    assert (named.local, named.backup_id) == (False, "20261123T074549")


@pytest.mark.parametrize(
    "changed",
    [
        {"systemid": "another cluster's"},
        {"timeline": 3},
        {"end_xlog": 0x1000028, "begin_xlog": 0x1000000},
        {"begin_xlog": 0x10, "timeline": 5},
    ],
    ids=["another cluster", "left timeline", "older than the backup", "no WAL in Barman"],
)
def test_a_local_snapshot_that_does_not_lead_there(changed: dict[str, object]) -> None:
    chosen = plan.choose(with_snapshots(snapshot(**changed)), Target(), NOW)
    assert (chosen.backup_id, chosen.local, chosen.notes) == ("20261123T074549", False, ())


def test_a_local_snapshot_of_after_the_target() -> None:
    early = targets.parse(time="2026-11-23 07:25:00Z")
    chosen = plan.choose(with_snapshots(snapshot()), early, NOW, timeline=1)
    assert not chosen.local


def test_a_damaged_snapshot_is_passed_over_and_said() -> None:
    damaged = snapshot(status="FAILED", error="base/5/16384: Permission denied")
    chosen = plan.choose(with_snapshots(damaged), Target(), NOW)
    assert not chosen.local
    assert "snapshot-20261123T074700Z is damaged and passed over: base/5/16384" in chosen.notes[0]
    older = snapshot(backup_id="snapshot-20261123T074630Z", end_xlog=(damaged.end_xlog or 0) - 8)
    chosen = plan.choose(with_snapshots(older, damaged), Target(), NOW)
    assert chosen.backup_id == "snapshot-20261123T074630Z"
    with pytest.raises(OperatorError, match="Permission denied"):
        plan.choose(with_snapshots(damaged), Target(), NOW, backup_id=damaged.backup_id)


def test_a_snapshot_that_is_distrusted_is_taken_where_it_is_named_only() -> None:
    held = with_snapshots(snapshot())
    chosen = plan.choose(held, Target(), NOW, distrust="for the server does not run")
    assert not chosen.local
    assert "passed over, for the server does not run; --backup-id takes it" in chosen.notes[0]
    named = "snapshot-20261123T074700Z"
    assert plan.choose(held, Target(), NOW, backup_id=named, distrust="for a reason").local


def test_no_window_begins_with_a_snapshot() -> None:
    alone = with_snapshots(snapshot()).model_copy(update={"backups": ()})
    with pytest.raises(OperatorError, match="no complete backup"):
        plan.choose(alone, Target(), NOW)
    assert windows.intervals(with_snapshots(snapshot())) == windows.intervals(STORE)


def test_an_older_timeline_abandons_what_came_later() -> None:
    for timeline, later in ((1, (2, 4)), (2, (4,)), (3, (4,))):
        found = choose(Target(), timeline=timeline).abandons
        assert found is not None
        assert found.timelines == later
    assert choose(Target()).abandons is None
    # Timelines 3 and 4 both left timeline 2; what they share ends where 3 left.
    of_third, of_second = (choose(Target(), timeline=t).abandons for t in (3, 2))
    assert of_third and of_second and of_third.parent == of_second.parent == 2
    assert of_third.left is not None and of_second.left is not None
    assert of_third.left < of_second.left


def test_a_target_that_both_timelines_have_abandons_nothing_else() -> None:
    shared = targets.parse(time="2026-11-23 07:40:30Z")
    assert choose(shared, timeline=2).abandons is None
    assert choose(targets.parse(lsn="0/C000100"), timeline=2).abandons is None
    past_it = choose(targets.parse(time="2026-11-23 07:41:08.53Z"), timeline=3).abandons
    assert past_it is not None and past_it.timelines == (4,)
    found = choose(targets.parse(lsn="0/E019A30"), timeline=3).abandons
    assert found is not None and found.timelines == (4,)


def test_an_older_timeline_of_which_nobody_knows_where_it_was_left() -> None:
    unknown = STORE.model_copy(update={"switchpoints": ()})
    found = plan.choose(unknown, Target(), NOW, timeline=1).abandons
    assert found is not None and (found.timelines, found.parent) == ((4,), None)
