"""The program that reads Barman's backups again, on a store made up in a directory."""

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from host.backup_verify import service
from host.domain import histories

SEGMENT_SIZE = 2**20
PAGE = b"\x16\xd1" + bytes(SEGMENT_SIZE - 2)
FIRST, SECOND = "20261101T040000", "20261102T040000"


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
    read = [{"backup_id": name, "at": now.isoformat()} for name in (FIRST, SECOND)]
    assert program.due(known, read, now + timedelta(days=2)) == []
    assert program.due(known, read, now + timedelta(days=4)) == [SECOND, FIRST]
    known[FIRST]["status"] = "FAILED"
    assert program.due(known, [], now) == [SECOND]


def test_a_torn_line_of_the_history_is_skipped(program: Any, tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text(json.dumps({"backup_id": FIRST}) + '\n{"backup')
    assert histories.read(path) == [{"backup_id": FIRST}]
