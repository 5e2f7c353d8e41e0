"""The program that reads Barman's backups again, on a store made up in a directory."""

import fcntl
import gzip
import json
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from host.backup_verify import service
from host.domain import backup_info, histories
from tests.unit import packed_backup
from tests.unit.ops.test_wal import continuing

SEGMENT_SIZE = 2**20
PAGE = b"\x16\xd1" + bytes(SEGMENT_SIZE - 2)
FIRST, SECOND = "20261101T040000", "20261102T040000"
PACKED = "compression=zstd\ntablespaces=[('x', 16400, '/x')]\n"


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program, with stand-ins for PostgreSQL's two that find nothing wrong."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("pg_verifybackup", "pg_waldump"):
        tell(tools / name, "exit 0")
    monkeypatch.setattr(service, "_programs", lambda _: tools)
    return service


def tell(tool: Path, script: str) -> None:
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two backups of one timeline, segments 2 to 6, some of them compressed."""
    server = tmp_path / "pg"
    (server / "meta").mkdir(parents=True)
    for name, begin, end in ((FIRST, 2, 3), (SECOND, 5, 5)):
        (server / "meta" / f"{name}-backup.info").write_text(
            f"backup_label=None\nbegin_wal={segment(begin)}\nend_wal={segment(end)}\n"
            f"error=None\nstatus=DONE\nversion=170012\nxlog_segment_size={SEGMENT_SIZE}\n"
        )
    wals = server / "wals" / segment(2)[:16]
    wals.mkdir(parents=True)
    for number in range(2, 7):
        wals.joinpath(segment(number)).write_bytes(gzip.compress(PAGE) if number % 2 else PAGE)
    return server


def segment(number: int) -> str:
    return f"00000001{0:08X}{number:08X}"


def archived(folder: Path, number: int) -> Path:
    return folder / "wals" / segment(number)[:16] / segment(number)


def test_a_sound_backup_stays_as_it_is(program: Any, folder: Path) -> None:
    before = (folder / "meta" / f"{FIRST}-backup.info").read_text()
    entry = program.verify(program.Store(folder), FIRST)
    assert (entry["ok"], entry["error"], entry["backup_id"]) == (True, None, FIRST)
    assert (folder / "meta" / f"{FIRST}-backup.info").read_text() == before


def test_a_damaged_file_makes_the_backup_failed_until_it_is_sound_again(
    program: Any, folder: Path, tmp_path: Path
) -> None:
    store = program.Store(folder)
    tell(tmp_path / "bin" / "pg_verifybackup", "echo 'pg_verifybackup: error: bad' >&2; exit 1")
    entry = program.verify(store, FIRST)
    assert (entry["ok"], entry["error"]) == (False, "bad")
    fields = store.backups()[FIRST]
    assert (fields["status"], fields["error"]) == ("FAILED", "verification: bad")
    assert store.backups()[SECOND]["status"] == "DONE"
    tell(tmp_path / "bin" / "pg_verifybackup", "exit 0")
    assert program.verify(store, FIRST)["ok"]
    sound = store.backups()[FIRST]
    assert (sound["status"], sound.get("error")) == ("DONE", None)


def test_a_packed_backup_is_read_too_beside_a_plain_one(program: Any, folder: Path) -> None:
    info = folder / "meta" / f"{SECOND}-backup.info"
    info.write_text(info.read_text() + PACKED)
    data = folder / "base" / SECOND / "data"
    packed_backup.make(data)
    store = program.Store(folder)
    assert [program.verify(store, name)["ok"] for name in (FIRST, SECOND)] == [True, True]
    archive = data / "16400.tar.zst"
    archive.rename(folder / "hidden")
    entry = program.verify(store, SECOND)
    # And the file of it that the manifest has.
    assert (entry["ok"], entry["error"]) == (False, "16400.tar.zst is missing (and 1 more)")
    assert [store.backups()[name]["status"] for name in (FIRST, SECOND)] == ["DONE", "FAILED"]
    (folder / "hidden").rename(archive)
    assert program.verify(store, SECOND)["ok"]
    assert store.backups()[SECOND]["status"] == "DONE"


def test_reading_a_packed_backup_stands_still_while_a_runbook_is_at_work(
    program: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runbook = tmp_path / "current.json"
    monkeypatch.setattr(program, "RUNBOOK", runbook)
    monkeypatch.setattr(program, "POLL_S", 0.05)
    info = folder / "meta" / f"{SECOND}-backup.info"
    info.write_text(info.read_text() + PACKED)
    packed_backup.make(folder / "base" / SECOND / "data")
    runbook.touch()
    done: list[dict[str, Any]] = []
    reading = threading.Thread(
        target=lambda: done.append(program.verify(program.Store(folder), SECOND))
    )
    reading.start()
    time.sleep(0.5)
    assert done == []
    runbook.unlink()
    reading.join(20)
    assert done[0]["ok"]


@pytest.mark.parametrize("harm", ["missing", "flipped", "short"])
def test_wal_of_the_backup_itself_makes_it_failed(program: Any, folder: Path, harm: str) -> None:
    hurt(archived(folder, 3), harm)
    store = program.Store(folder)
    entry = program.verify(store, FIRST)
    assert entry["bad_wal"] == [segment(3)]
    assert store.backups()[FIRST]["status"] == "FAILED"


def test_wal_after_the_backup_is_told_and_the_backup_stays_good(program: Any, folder: Path) -> None:
    archived(folder, 4).unlink()
    store = program.Store(folder)
    entry = program.verify(store, FIRST)
    assert (entry["ok"], entry["bad_wal"]) == (False, [segment(4)])
    assert store.backups()[FIRST]["status"] == "DONE"
    # From the next backup on it is the next backup's.
    assert program.verify(store, SECOND)["ok"]


@pytest.mark.parametrize(
    ("left", "rest", "sound"), [(True, 0, True), (False, 0, False), (True, 1, False)]
)
def test_the_last_segment_of_a_timeline_that_was_left_may_end_early(
    program: Any, folder: Path, tmp_path: Path, left: bool, rest: int, sound: bool
) -> None:
    """As a recovery archives it; not on the current timeline, and not with anything behind."""
    if left:
        (folder / "wals" / "0000000200000000").mkdir()
    archived(folder, 6).write_bytes(PAGE[:-1] + bytes([rest]))
    ended = "error in WAL record at 0/6000F00: invalid record length at 0/6001000: got 0"
    script = f"case $2 in *{segment(6)}) echo '{ended}' >&2; exit 1 ;; esac"
    tell(tmp_path / "bin" / "pg_waldump", script)
    entry = program.verify(program.Store(folder), SECOND)
    assert (entry["ok"], entry["bad_wal"]) == (sound, [] if sound else [segment(6)])


def test_a_segment_in_which_no_record_begins_is_sound(
    program: Any, folder: Path, tmp_path: Path
) -> None:
    archived(folder, 6).write_bytes(continuing(2 * SEGMENT_SIZE, SEGMENT_SIZE))
    said = "pg_waldump: error: could not find a valid record after 0/6000000"
    script = f"case $2 in *{segment(6)}) echo '{said}' >&2; exit 1 ;; esac"
    tell(tmp_path / "bin" / "pg_waldump", script)
    assert program.verify(program.Store(folder), SECOND)["ok"]
    archived(folder, 6).write_bytes(
        continuing(2 * SEGMENT_SIZE, SEGMENT_SIZE)[:-9000].ljust(SEGMENT_SIZE, b"\0")
    )
    assert program.verify(program.Store(folder), SECOND)["bad_wal"] == [segment(6)]
    # Where a recovery has left the timeline, the record may end early, too.
    (folder / "wals" / "0000000200000000").mkdir()
    assert program.verify(program.Store(folder), SECOND)["ok"]


def hurt(path: Path, harm: str) -> None:
    data = path.read_bytes()
    if harm == "missing":
        path.unlink()
    elif harm == "flipped":
        path.write_bytes(data[:-6] + bytes([data[-6] ^ 1]) + data[-5:])
    else:
        path.write_bytes(gzip.compress(PAGE[:-1]))


def test_new_backups_are_due_at_once_and_old_ones_every_three_days(
    program: Any, folder: Path
) -> None:
    known = program.Store(folder).backups()
    now = datetime(2026, 11, 4, tzinfo=UTC)
    assert program.due(known, [], now) == [SECOND, FIRST]
    read = [
        {"backup_id": name, "at": (now + timedelta(hours=hours)).isoformat(), "seconds": 60}
        for name, hours in ((SECOND, 0), (FIRST, 1))
    ]
    assert program.due(known, read, now + timedelta(days=2)) == []
    assert program.due(known, read, now + timedelta(days=4)) == [SECOND, FIRST]
    known[FIRST]["status"] = "FAILED"
    assert program.due(known, [], now) == [SECOND]


def test_nine_backups_of_a_terabyte_are_read_in_time(program: Any) -> None:
    """At the 48 MB/s of the default machine: a backup ends each morning, one as long ago goes."""
    seconds = 1e12 / 48e6
    now = datetime(2026, 11, 1, 10, tzinfo=UTC)
    history: list[dict[str, Any]] = []
    waited: dict[str, timedelta] = {}
    known: dict[str, dict[str, str]] = {}
    mornings = [now + timedelta(days=day) for day in range(30)]
    for morning in mornings:
        known[f"{morning:%Y%m%dT%H%M%S}"] = {"status": "DONE"}
        known = dict(list(known.items())[-9:])
        clock = morning
        while clock < morning + timedelta(days=1):
            names = program.due(known, history, clock)
            if not names:
                clock += timedelta(hours=1)
                continue
            clock += timedelta(seconds=seconds)
            entry = {"backup_id": names[0], "at": clock.isoformat(), "seconds": seconds}
            history.append(entry)
            waited.setdefault(names[0], clock - morning)
    assert len(waited) == 30
    # Each is read before the next one ends, and the disk is left alone for half of the day.
    assert max(waited.values()) < timedelta(hours=12)
    assert sum(entry["seconds"] for entry in history) / 30 < 12 * 3600
    # No one stays unread for longer than it is kept.
    last = {entry["backup_id"]: entry["at"] for entry in history}
    oldest = min(datetime.fromisoformat(last[name]) for name in known)
    assert mornings[-1] - oldest < timedelta(days=8)


def test_a_backup_is_accepted_while_another_is_read(
    program: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(program, "STATE", tmp_path)
    program.Store(folder).mark(FIRST, "FAILED", backup_info.UNVERIFIED + "a flipped byte")
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        monkeypatch.setattr(sys, "argv", ["backup-verify", str(folder), "--accept", FIRST])
        program.main()
    assert program.Store(folder).backups()[FIRST]["status"] == "DONE"


def test_reading_stands_still_while_a_runbook_is_at_work(
    program: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runbook, beats = tmp_path / "current.json", tmp_path / "beats"
    monkeypatch.setattr(program, "RUNBOOK", runbook)
    monkeypatch.setattr(program, "POLL_S", 0.05)
    runbook.touch()
    script = f"for i in 1 2 3 4 5 6; do echo >>{beats}; sleep 0.05; done; echo bad >&2; exit 3"
    done: list[tuple[int, str]] = []

    def work() -> None:
        done.append(program._in_the_background(["sh", "-c", script]))

    reading = threading.Thread(target=work)
    reading.start()
    time.sleep(0.6)
    stood = beats.stat().st_size if beats.exists() else 0
    time.sleep(0.6)
    assert (beats.stat().st_size if beats.exists() else 0) == stood < 6
    assert done == []
    runbook.unlink()
    reading.join(20)
    assert done == [(3, "bad\n")]


def test_a_torn_line_of_the_history_is_skipped(program: Any, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(json.dumps({"backup_id": FIRST}) + '\n{"backup')
    assert histories.read(path) == [{"backup_id": FIRST}]
