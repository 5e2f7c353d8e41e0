"""The guard's history as `ops durability` tells it."""

import json

import pytest

from host.durability_guard.history import History
from ops.watch.durability import Durability, exposures, sentence


def events(*listed: tuple[str, dict[str, object]]) -> str:
    return "\n".join(
        json.dumps(
            {"at": f"2026-01-0{day}T00:00:00+00:00", "event": event, "lsn": f"0/{day}", **more}
        )
        for day, (event, more) in enumerate(listed, 1)
    )


def test_an_interval_has_a_beginning_an_end_and_a_reason() -> None:
    (one,) = exposures(events(("exposed", {"reason": "fallback"}), ("protected", {"seconds": 7.5})))
    assert (one.reason, one.began_lsn, one.ended_lsn, one.seconds) == (
        "fallback",
        "0/1",
        "0/2",
        7.5,
    )


def test_the_last_one_may_last() -> None:
    (one,) = exposures(events(("exposed", {"reason": "async"})))
    assert one.ended_at is None


def test_a_new_reason_ends_the_interval_before() -> None:
    first, second = exposures(
        events(("exposed", {"reason": "not armed yet"}), ("exposed", {"reason": "async"}))
    )
    assert first.ended_at == second.began_at


def test_waiting_is_no_exposure_and_a_torn_line_is_skipped() -> None:
    assert exposures(events(("waiting", {}), ("answered", {})) + '\n{"at": "20') == []


def test_it_reads_what_the_guard_writes(tmp_path) -> None:
    path = tmp_path / "history.jsonl"
    kept = History(path, "boot")
    kept.append("exposed", 1.0, 0x28, reason="fallback")
    kept.append("protected", 3.0, 0x48)
    (one,) = exposures(path.read_text())
    assert (one.seconds, one.began_lsn, one.ended_lsn) == (2.0, "0/28", "0/48")


@pytest.mark.parametrize(
    ("waits", "state", "expected"),
    [
        (True, "sync", "before it is acknowledged"),
        (True, None, "which is away (3 waiting)"),
        (False, "async", "do not wait"),
        (None, None, "does not answer"),
    ],
)
def test_the_sentence(waits: bool | None, state: str | None, expected: str) -> None:
    found = Durability(
        level="sync",
        guard_level="sync",
        commits_wait=waits,
        sync_state=state,
        waiting_commits=3,
        guard_running=True,
        exposures=[],
    )
    assert expected in sentence(found)


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ("sync", "durability sync: every commit"),
        ("sync-with-fallback", "durability sync-with-fallback, not sync as the stack asks"),
        (None, "durability unknown, for its guard is silent"),
    ],
)
def test_the_sentence_has_the_level_that_runs(runs: str | None, expected: str) -> None:
    found = Durability(
        level="sync",
        guard_level=runs,
        commits_wait=True,
        sync_state="sync",
        waiting_commits=0,
        guard_running=True,
        exposures=[],
    )
    assert sentence(found).startswith(expected)
