"""Replay that must not end early, and the last commit that it has to reach."""

from typing import Any

import pytest

from ops.archive.catalogue import Catalogue, Commit
from ops.errors import OperatorError
from ops.recover import replay, restore

SEGMENT = 2**24


def test_replay_that_ends_before_the_last_commit_is_an_error() -> None:
    promised = Commit.model_validate({"lsn": 0x3000100, "xid": 7, "time": "2026-05-01T12:00:00Z"})
    replay.require_reached(promised, "0/3000100")
    with pytest.raises(OperatorError, match="0/3000100") as early:
        replay.require_reached(promised, "0/30000FF")
    assert "--target-lsn 0/30000FF" in str(early.value.next_command)
    assert "not opened to clients" in early.value.state
    # A server on a new timeline says where it left the one before; one that does not is no answer.
    with pytest.raises(OperatorError):
        replay.require_reached(promised, None)


def test_the_last_commit_is_that_of_the_run_which_is_replayed() -> None:
    """A run before a gap ends earlier: a time after its end would be taken for the latest state."""

    def run(timeline: int, first: int, last: int, at: int) -> dict[str, Any]:
        names = (f"{timeline:08X}{0:08X}{number:08X}" for number in (first, last))
        commit = {"lsn": last * SEGMENT + 1, "xid": 1, "time": f"2026-05-01T{at:02}:00:00Z"}
        return dict(zip(("first", "last"), names, strict=True)) | {
            "timeline": timeline,
            "partial": False,
            "last_commit": commit,
        }

    runs = [run(2, 1, 5, 1), run(2, 8, 12, 2), run(2, 20, 30, 3), run(1, 1, 40, 4)]
    held = Catalogue.model_validate(
        {"segment_size": SEGMENT, "backups": [], "runs": runs, "switchpoints": []}
    )

    def hour(begin: int) -> int | None:
        found = restore.last_reachable(held, 2, begin * SEGMENT)
        return found.time.hour if found else None

    # From the first run, from the second, from an ancestor's WAL between them, from beyond.
    assert [hour(3), hour(9), hour(6), hour(31)] == [1, 2, 2, None]
