"""What the Barman exporter makes of files: positions in WAL, backups, holes, histories."""

import json
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.barman_exporter.alarm import LASTS, alert
from host.barman_exporter.catalogue import Backup, Wals, backups
from host.barman_exporter.histories import at, entries, newest, unsound
from host.barman_exporter.wal import Lag, received
from host.domain.wal import missing, name_of
from host.domain.wal_records import PAGE, content_end
from ops.onmachine.catalogue import segment

RECORDED = Path(__file__).parent / "ops" / "recorded"
SIZE = 2**24
SEGMENT = "00000001000000000000000A"
START = 10 * SIZE


def wal(*records: tuple[int, int, int], start: int = START, size: int = SIZE) -> bytes:
    """A segment with these records (total length, info, resource manager), zero-padded."""
    stream = b""
    for length, info, manager in records:
        head = struct.pack("<IIQBB", length, 0, 0, info, manager)
        # Ends in zeros, as records may.
        stream += head.ljust((length + 7) & ~7, b"\0")
    pages, remaining = [], 0
    while stream:
        page = len(pages)
        head = 24 if page else 40
        part, stream = stream[: PAGE - head], stream[PAGE - head :]
        info = 0 if page else 2
        page_head = struct.pack("<HHIQI", 0xD116, info, 1, start + page * PAGE, remaining)
        pages.append((page_head.ljust(head, b"\0") + part).ljust(PAGE, b"\0"))
        remaining = _continued(records, len(pages))
    return b"".join(pages).ljust(size, b"\0")


def _continued(records: tuple[tuple[int, int, int], ...], pages: int) -> int:
    """How much of a record that began before page number `pages` is still to come on it."""
    capacity = PAGE - 40 + (pages - 1) * (PAGE - 24)
    end = 0
    for length, _, _ in records:
        if end < capacity < end + length:
            return end + length - capacity
        end += (length + 7) & ~7
    return 0


def written(folder: Path, *records: tuple[int, int, int]) -> Path:
    path = folder / f"{SEGMENT}.partial"
    path.write_bytes(wal(*records))
    return path


def test_a_record_that_ends_in_zeros_counts_whole(tmp_path: Path) -> None:
    path = written(tmp_path, (100, 0, 10), (57, 0, 10))
    assert content_end(path, START) == 40 + 104 + 64


def test_a_record_over_pages_counts_to_its_end(tmp_path: Path) -> None:
    path = written(tmp_path, (3 * PAGE, 0, 10), (48, 0, 10))
    headers = 40 + 3 * 24
    assert content_end(path, START) == headers + 3 * PAGE + 48


def test_after_a_forced_switch_nothing_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path, (100, 0, 10), (24, 0x40, 0))
    assert content_end(path, START) == SIZE


def test_pages_of_another_use_of_the_file_do_not_count(tmp_path: Path) -> None:
    fresh = wal((100, 0, 10))
    old = wal((100, 0, 10), start=START - SIZE)
    path = tmp_path / f"{SEGMENT}.partial"
    path.write_bytes(fresh[:PAGE] + old[:PAGE] + fresh[2 * PAGE :])
    assert content_end(path, START) == 40 + 104


def test_an_empty_segment_has_nothing(tmp_path: Path) -> None:
    path = tmp_path / f"{SEGMENT}.partial"
    path.write_bytes(bytes(SIZE))
    assert content_end(path, START) == 0


def test_a_real_segment_ends_where_its_records_end(tmp_path: Path) -> None:
    (recorded,) = RECORDED.glob("0000*.gz")
    name = recorded.stem
    (tmp_path / "streaming").mkdir()
    (tmp_path / "wals").mkdir()
    (tmp_path / "streaming" / name).write_bytes(recorded.read_bytes())
    data = segment(tmp_path, name)
    path = tmp_path / f"{name}.partial"
    path.write_bytes(data)
    start = int.from_bytes(data[8:16], "little")
    end = content_end(path, start)
    used = len(data.rstrip(b"\0"))
    assert end == len(data) or used <= end < used + PAGE


def test_the_newest_timeline_and_segment_is_where_wal_ends(tmp_path: Path) -> None:
    assert received(tmp_path, SIZE) is None
    written(tmp_path, (100, 0, 10))
    assert received(tmp_path, SIZE) == START + 40 + 104
    (tmp_path / "00000001000000000000000B").write_bytes(b"")
    assert received(tmp_path, SIZE) == START + 2 * SIZE
    (tmp_path / "000000020000000000000009.partial").write_bytes(bytes(SIZE))
    assert received(tmp_path, SIZE) == 9 * SIZE


def test_lag_is_the_age_of_the_oldest_wal_that_has_not_come() -> None:
    lag = Lag()
    assert lag.seconds(0, server=100, disk=100) == 0
    assert lag.seconds(10, server=200, disk=100) == 0
    assert lag.seconds(70, server=300, disk=100) == 60
    # It is catching up: what was written at 70 is still awaited.
    assert lag.seconds(75, server=300, disk=200) == 5
    assert lag.seconds(80, server=300, disk=300) == 0


def test_an_idle_server_does_not_lag() -> None:
    lag = Lag()
    assert [lag.seconds(second, 100, 100) for second in range(0, 7200, 60)] == [0] * 120


def test_a_server_restored_to_before_forgets_what_was_awaited() -> None:
    lag = Lag()
    lag.seconds(0, server=300, disk=100)
    assert lag.seconds(50, server=200, disk=200) == 0


@given(st.sets(st.integers(0, 400), min_size=1), st.integers(0, 400))
def test_missing_segments_are_those_between_others(present: set[int], since: int) -> None:
    names = [name_of(1, number, SIZE) for number in present]
    after = sorted(number for number in present if number >= since)
    expected = after[-1] - after[0] + 1 - len(after) if after else 0
    assert missing(names, name_of(1, since, SIZE), SIZE) == expected


def test_a_timeline_that_begins_late_is_no_hole() -> None:
    names = [name_of(1, number, SIZE) for number in (1, 2, 3)]
    names += [name_of(2, number, SIZE) for number in (3, 4)]
    assert missing(names, name_of(1, 1, SIZE), SIZE) == 0


INFO = """\
begin_time={began}
begin_wal=000000010000000000000003
end_time={ended}
size=1000
status={status}
xlog_segment_size=16777216
"""


def test_backups_are_read_from_either_place_the_oldest_first(tmp_path: Path) -> None:
    began = datetime(2026, 5, 1, 4, tzinfo=UTC)
    old = tmp_path / "base" / "20260501T040000" / "backup.info"
    old.parent.mkdir(parents=True)
    ended = began + timedelta(seconds=90)
    old.write_text(INFO.format(began=began, ended=ended, status="DONE"))
    (tmp_path / "meta").mkdir()
    new = tmp_path / "meta" / "20260502T040000-backup.info"
    new.write_text(INFO.format(began=began, ended=None, status="STARTED"))
    done, started = backups(tmp_path)
    assert (done.id, done.status, done.size) == ("20260501T040000", "DONE", 1000)
    assert done.restored == 1000
    assert done.ended is not None and done.began is not None
    assert done.ended - done.began == 90
    assert (started.status, started.ended) == ("STARTED", None)


def test_a_packed_backup_takes_less_than_what_is_in_it(tmp_path: Path) -> None:
    info = tmp_path / "base" / "20260501T040000" / "backup.info"
    info.parent.mkdir(parents=True)
    info.write_text("status=DONE\nsize=1000\ncluster_size=4200\ncompression=zstd\n")
    (packed,) = backups(tmp_path)
    assert (packed.size, packed.restored) == (1000, 4200)


def test_archived_wal_is_counted_again_only_where_it_changed(tmp_path: Path) -> None:
    folder = tmp_path / "0000000100000000"
    folder.mkdir()
    (folder / "000000010000000000000003").write_bytes(b"1234")
    (folder / "000000010000000000000003.00000028.backup").write_bytes(b"12")
    (tmp_path / "00000002.history").write_bytes(b"1")
    wals = Wals(tmp_path)
    assert (wals.look().segments, wals.look().bytes) == ({"000000010000000000000003"}, 4)
    (folder / "000000010000000000000004").write_bytes(b"12")
    assert wals.look().bytes == 6
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    empty = wals.look()
    assert (empty.segments, empty.newest_at) == (frozenset(), 0)


def test_a_history_that_was_never_written_says_never(tmp_path: Path) -> None:
    found = entries(tmp_path / "history.jsonl")
    assert (found, at(newest(found, outcome="passed"))) == ([], 0)


def test_a_torn_line_of_a_history_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    lines = [
        {"at": "2026-05-01T00:00:00+00:00", "outcome": "passed"},
        {"at": "2026-05-08T00:00:00+00:00", "outcome": "failed"},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines) + '\n{"at": "2026-05-')
    found = entries(path)
    assert found == lines
    passed = newest(found, outcome="passed")
    assert at(passed) == datetime(2026, 5, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("firing", [True, False])
def test_the_alarm_ends_by_itself_unless_it_is_renewed(firing: bool) -> None:
    now = datetime(2026, 5, 1, tzinfo=UTC)
    ends = datetime.fromisoformat(str(alert(now, firing=firing)["endsAt"]))
    assert ends == (now + LASTS if firing else now)


def test_a_damaged_backup_is_not_hidden_by_what_was_read_after_it() -> None:
    def backup(name: str, status: str) -> Backup:
        return Backup(name, status, None, None, 0, 0, None, SIZE)

    read = [
        {"backup_id": "b", "ok": False},
        {"backup_id": "a", "ok": True},
        {"backup_id": "gone", "ok": False},
    ]
    damaged = [backup("a", "DONE"), backup("b", "FAILED")]
    assert unsound(damaged, read) == ["b"]
    assert unsound([*damaged, backup("c", "DONE")], read) == ["b"]
    assert unsound(damaged, [*read, {"backup_id": "b", "ok": True}]) == []
    # Only WAL after it is damaged: until there is a newer one.
    assert unsound([backup("b", "DONE")], read) == ["b"]
    assert unsound([backup("b", "DONE"), backup("c", "DONE")], read) == []
    assert unsound([backup("b", "FAILED")], []) == []
