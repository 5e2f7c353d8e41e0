"""The restore drill: what it decides, what it writes down, what it leaves behind."""

import fcntl
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.domain.control_data import minimums
from host.restore_drill import history, machine, service
from host.restore_drill.decision import (
    GIB,
    LOOK_BACK_S,
    SETTLED_S,
    Backup,
    Surroundings,
    busy,
    continuity,
    earliest,
    newest,
    no_room,
    reserve,
    target,
)
from settings import schedule

QUIET = Surroundings(backup_running=False, runbook_running=False, free=200 * GIB, total=250 * GIB)
NOW = 1_800_000_000.0


def test_the_newest_complete_backup_is_taken() -> None:
    backups = [
        {"backup_id": "20261101T040000", "status": "DONE"},
        {"backup_id": "20261103T040000", "status": "FAILED"},
        {"backup_id": "20261102T040000", "status": "DONE"},
        {"backup_id": "20261104T040000", "status": "STARTED"},
    ]
    found = newest(backups)
    assert found is not None and found["backup_id"] == "20261102T040000"
    assert newest(backups[1:2]) is None


def test_backups_and_runbooks_come_first() -> None:
    assert busy(QUIET) is None
    assert "backup" in str(busy(replace(QUIET, backup_running=True)))
    assert "runbook" in str(busy(replace(QUIET, runbook_running=True)))


@given(
    size=st.integers(0, 400 * GIB), free=st.integers(0, 1000 * GIB), total=st.integers(1, 1 << 42)
)
def test_a_drill_never_eats_into_the_reserve(size: int, free: int, total: int) -> None:
    around = replace(QUIET, free=free, total=total)
    backup = Backup("b", size, size // 4, NOW)
    if no_room(around, backup) is None:
        assert free - size >= reserve(total, backup) >= size // 4


def test_too_little_space_is_told_in_figures() -> None:
    backup = Backup("b", 20 * GIB, 5 * GIB, NOW)
    assert no_room(QUIET, backup) is None
    assert no_room(replace(QUIET, free=39 * GIB), backup) is None
    message = no_room(replace(QUIET, free=38 * GIB), backup)
    assert message is not None
    assert (
        "38.0 GiB are free" in message
        and "needs 21.0 GiB" in message
        and "17.5 GiB must stay" in message
    )


@given(age=st.floats(SETTLED_S + 1, 30 * 24 * 3600.0), seed=st.integers())
def test_the_moment_is_recent_after_the_backup_and_settled(age: float, seed: int) -> None:
    backup = Backup("b", GIB, GIB, NOW - age)
    moment = target(backup, NOW, random.Random(seed).uniform)  # noqa: S311
    assert backup.ended < moment <= NOW - SETTLED_S + 1
    assert moment >= NOW - LOOK_BACK_S - 1


def test_the_moment_is_not_always_the_same() -> None:
    backup = Backup("b", GIB, GIB, NOW - 3600)
    sources = [random.Random(seed) for seed in range(20)]  # noqa: S311
    moments = {target(backup, NOW, source.uniform) for source in sources}
    assert max(moments) - min(moments) > 600


def test_a_fresh_backup_is_waited_for() -> None:
    assert earliest(Backup("b", GIB, GIB, NOW - 1), NOW) + SETTLED_S > NOW


@pytest.mark.parametrize(
    ("count", "first", "last", "expected"),
    [(5, 11, 15, None), (4, 11, 15, "1 of the rows 11 to 15"), (0, None, None, "empty")],
)
def test_marker_rows_are_without_a_gap(
    count: int, first: int | None, last: int | None, expected: str | None
) -> None:
    wrong = continuity(count, first, last)
    assert wrong is None if expected is None else expected in str(wrong)


CONTROL = """\
max_connections setting:              200
max_worker_processes setting:         8
max_wal_senders setting:              10
max_prepared_xacts setting:           3
max_locks_per_xact setting:           64
track_commit_timestamp setting:       off
"""


def test_replay_gets_the_settings_it_insists_on() -> None:
    assert minimums(CONTROL) == {
        "max_connections": "200",
        "max_worker_processes": "8",
        "max_wal_senders": "10",
        "max_prepared_transactions": "3",
        "max_locks_per_transaction": "64",
    }


def test_history_survives_a_line_cut_off_by_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history.append({"outcome": "passed"}, path)
    with path.open("a") as stream:
        stream.write('{"outcome": "fai')
    history.append({"outcome": "declined"}, path)
    assert [json.loads(line)["outcome"] for line in path.read_text().splitlines()[::2]] == [
        "passed",
        "declined",
    ]


def test_times_go_there_and_back() -> None:
    assert history.iso(NOW) == "2027-01-15T08:00:00.000+00:00"
    assert history.seconds(history.iso(NOW + 0.25)) == NOW + 0.25


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's directories, the scratch one among them."""
    for name, file in (("HISTORY", "history.jsonl"), ("CURRENT", "current.json")):
        monkeypatch.setattr(history, name, tmp_path / file)
    for function, path in (
        (history.append, "history.jsonl"),
        (history.note, "current.json"),
        (history.interrupted, "current.json"),
    ):
        defaults = (tmp_path / path,)
        monkeypatch.setattr(function, "__defaults__", defaults)
    (tmp_path / "scratch" / "data" / "base").mkdir(parents=True)
    (tmp_path / "scratch" / "data" / "PG_VERSION").write_text("17\n")
    return tmp_path


def records(folder: Path) -> list[dict[str, str]]:
    path = folder / "history.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_what_a_killed_drill_has_left_is_removed_and_told(folder: Path) -> None:
    history.note({"at": "then", "backup_id": "b", "phase": "restoring"}, folder / "current.json")
    service.clean(service.copy_in(folder / "scratch", "17"))
    (record,) = records(folder)
    assert record["outcome"] == "failed" and "killed" in record["reason"]
    assert record["backup_id"] == "b" and "phase" not in record
    assert list((folder / "scratch").iterdir()) == []
    # Once is enough.
    service.clean(service.copy_in(folder / "scratch", "17"))
    assert len(records(folder)) == 1


def test_after_a_drill_that_ended_there_is_nothing_to_tell(folder: Path) -> None:
    service.clean(service.copy_in(folder / "scratch", "17"))
    assert records(folder) == []
    assert list((folder / "scratch").iterdir()) == []


def test_a_lock_is_seen_without_being_taken(tmp_path: Path) -> None:
    path = tmp_path / ".pg-backup.lock"
    assert not machine.locked(path, "")
    with path.open("w") as lock:
        assert not machine.locked(path, Path("/proc/locks").read_text())
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert machine.locked(path, Path("/proc/locks").read_text())


@pytest.mark.parametrize(
    ("cron", "calendar"),
    [
        ("0 12 * * 0", "Sun *-*-* 12:0:00 UTC"),
        ("30 3 1,15 * *", "*-*-1,15 3:30:00 UTC"),
        ("*/20 8-10 * 1 1-5", "Mon..Fri *-1-* 8..10:0/20:00 UTC"),
    ],
)
def test_cron_in_systemds_words(cron: str, calendar: str) -> None:
    assert schedule.on_calendar(cron) == calendar


@pytest.mark.parametrize("cron", ["0 12 * * sun", "0 12 1 * 0", "0 12 * * */2"])
def test_what_systemd_cannot_say_is_refused(cron: str) -> None:
    with pytest.raises(ValueError, match=r"day|month"):
        schedule.on_calendar(cron)
