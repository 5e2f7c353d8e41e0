"""Local snapshots: which go, when they are due, what is seen of their files, what is cloned."""

import json
import os
import shutil
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.domain import reflink
from host.local_snapshots import service, snapshot, take
from host.local_snapshots.snapshot import Snapshot
from host.local_snapshots.space import Disk, superfluous
from host.restored_copy.copy import Copy
from ops.onmachine import from_snapshot

ROOMY, SHORT = Disk(total=1000, free=300), Disk(total=1000, free=199)


def taken(name: str, *, scheduled: bool = True, at: float = 0.0, **changed: object) -> Snapshot:
    """A snapshot's record."""
    known = Snapshot(
        id=name,
        scheduled=scheduled,
        begin_time=at,
        end_time=at + 1,
        begin_lsn=1,
        end_lsn=2,
        timeline=1,
        system_id="7",
        version=170000,
        data_directory="/data/postgresql/17/main",
        tablespaces={},
        files=2,
        bytes=9,
    )
    return Snapshot(**{**known.document(), **changed})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where snapshots are."""
    for module in (snapshot, take, service):
        monkeypatch.setattr(module, "SNAPSHOTS", str(tmp_path))
    monkeypatch.setattr(service, "METRICS", tmp_path / "metrics.prom")
    monkeypatch.setattr(service.Disk, "now", classmethod(lambda _: ROOMY))
    return tmp_path


def on_disk(known: Snapshot) -> Snapshot:
    """The same, with its files."""
    data = known.folder / "data"
    data.mkdir(parents=True)
    (known.folder / "tablespaces").mkdir()
    (data / "PG_VERSION").write_text("17\n")
    (data / "backup_label").write_text("START\n")
    known.keep()
    return known


@given(st.lists(st.booleans(), max_size=12), st.integers(1, 5), st.booleans())
def test_what_stays(scheduled: list[bool], kept: int, short: bool) -> None:
    there = [taken(str(n), scheduled=each) for n, each in enumerate(scheduled)]
    going = superfluous(there, kept, SHORT if short else ROOMY)
    staying = [each for each in there if each not in going]
    assert sum(each.scheduled for each in staying) <= kept
    if not short:
        # What somebody asked for goes for nothing but the disk, and no newer one before an older.
        assert all(each.scheduled for each in going)
        assert sum(each.scheduled for each in staying) == min(kept, sum(scheduled))
    elif there:
        assert going, "the disk fills"


def test_the_oldest_goes_first_and_alone_for_the_disk() -> None:
    there = [taken("a", scheduled=False), taken("b"), taken("c")]
    assert [each.id for each in superfluous(there, 4, SHORT)] == ["a"]


def test_a_snapshot_is_one_when_its_record_is_there(folder: Path) -> None:
    known = on_disk(taken("snapshot-1"))
    half = folder / "snapshot-2" / "data"
    half.mkdir(parents=True)
    assert snapshot.complete() == [known]
    assert snapshot.incomplete() == [half.parent]
    (known.folder / "snapshot.json").write_text("\0\0\0")
    assert snapshot.complete() == []


def test_what_has_happened_to_its_files_is_seen(folder: Path) -> None:
    known = on_disk(taken("snapshot-1"))
    assert known.wrong() is None
    version = known.folder / "data" / "PG_VERSION"
    version.write_text("1")
    assert "2 files of 9 bytes, and has 2 of 7" in str(known.wrong())
    version.unlink()
    assert "has 1 of 6" in str(known.wrong())
    (known.folder / "data" / "backup_label").unlink()
    assert "backup_label: No such file" in str(known.wrong())


def watch(every_s: float | None = 3600, kept: int = 2) -> service.Watch:
    return service.Watch({"every_s": every_s, "kept": kept})


def pretend(monkeypatch: pytest.MonkeyPatch) -> list[Snapshot]:
    """Snapshots are taken in no time."""
    made: list[Snapshot] = []

    def take_one(*, scheduled: bool) -> Snapshot:
        at = time.time()
        made.append(on_disk(taken(f"snapshot-{len(made)}", scheduled=scheduled, at=at)))
        return made[-1]

    monkeypatch.setattr(service, "take", take_one)
    return made


def test_one_that_is_due_is_taken_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = pretend(monkeypatch)
    looking = watch()
    looking.once()
    looking.once()
    assert len(made) == 1
    assert "local_snapshots 1\n" in (folder / "metrics.prom").read_text()
    assert "local_snapshots_overdue 0\n" in (folder / "metrics.prom").read_text()
    now = time.time()
    monkeypatch.setattr(service.time, "time", lambda: now + 3601)
    looking.once()
    assert len(made) == 2


def test_none_is_taken_unless_that_was_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pretend(monkeypatch)
    watch(every_s=None).once()
    assert made == []
    assert "overdue 0" in (folder / "metrics.prom").read_text()


def test_one_that_cannot_be_taken_is_overdue_and_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*, scheduled: bool) -> Snapshot:
        raise take.Refused("a tablespace on another disk")

    monkeypatch.setattr(service, "take", refuse)
    monkeypatch.setattr(service, "RETRY_S", -1.0)
    looking = watch()
    looking.once()
    looking.once()
    assert capsys.readouterr().out.count("a tablespace on another disk") == 1
    assert "overdue 1" in (folder / "metrics.prom").read_text()


def test_one_from_the_future_is_none(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_disk(taken("snapshot-late", at=time.time() + 86400))
    made = pretend(monkeypatch)
    watch().once()
    assert len(made) == 1


def test_what_an_interrupted_one_has_left_is_removed(folder: Path) -> None:
    (folder / "snapshot-half" / "data").mkdir(parents=True)
    watch(every_s=None).once()
    assert not (folder / "snapshot-half").exists()


def test_for_the_disk_one_goes_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("snapshot-1", "snapshot-2"):
        on_disk(taken(name, scheduled=False, at=float(name[-1])))
    monkeypatch.setattr(service.Disk, "now", classmethod(lambda _: SHORT))
    looking = watch(every_s=None)
    looking.once()
    looking.once()
    assert [each.id for each in snapshot.complete()] == ["snapshot-2"]
    looking._settled_at = 0.0
    looking.once()
    assert snapshot.complete() == []


def test_none_is_taken_on_a_short_disk_or_in_a_recovery(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(take.Disk, "now", classmethod(lambda _: SHORT))
    with pytest.raises(take.Refused, match="a fifth of the disk"):
        take.take(scheduled=False)
    monkeypatch.setattr(take, "RECOVERY_MARKER", str(folder))
    with pytest.raises(take.Refused, match="a recovery is under way"):
        take.take(scheduled=False)


def test_a_server_that_is_not_there_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = folder / "bin" / "psql"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'psql: error: no such socket' >&2\nexit 2\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(take.Refused, match="no such socket"):
        take.take(scheduled=False)
    assert list(folder.glob("snapshot-*")) == []


def test_dropping_one_that_is_not_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_disk(taken("snapshot-1"))
    monkeypatch.setattr("sys.argv", ["local-snapshots", "drop", "../data"])
    service.main()
    said = json.loads(capsys.readouterr().out)
    assert said == {"refused": "there is no snapshot ../data; there are: snapshot-1"}
    assert snapshot.complete()


def test_a_database_that_is_dropped_meanwhile_does_not_come(tmp_path: Path) -> None:
    (tmp_path / "base" / "16384").mkdir(parents=True)
    (tmp_path / "base" / "16384" / "1259").write_text("")

    def drop(path: str) -> bool:
        if path == "base/16384":
            shutil.rmtree(tmp_path / path)
        return True

    assert reflink.clone(tmp_path, tmp_path.parent / "clone", drop, in_use=True) == (0, 0)
    (tmp_path / "base" / "16384").mkdir(parents=True)
    with pytest.raises(FileNotFoundError):
        reflink.clone(tmp_path, tmp_path.parent / "clone", drop)


def test_a_tablespace_counts_once_the_backup_has_begun(folder: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    def ask(sql: str) -> object:
        asked.append(sql)
        if "backup_start" in sql:
            return "0/2000028"
        if "backup_stop" in sql:
            return {"labelfile": "START TIMELINE: 3\n", "lsn": "0/2000100"}
        return {
            "in_recovery": False,
            "version": 170000,
            "data_directory": str(tmp_path / "main"),
            "system_id": "7",
            # Dropped before its files were come to.
            "tablespaces": {"16400": str(tmp_path / "gone")},
        }

    (tmp_path / "main").mkdir()
    where = folder / "snapshot-1"
    where.mkdir()
    found = take._taken(ask, where, 0.0, scheduled=False)
    assert "backup_start" in asked[0] and "pg_tablespace" in asked[1]
    assert (found.files, found.timeline, found.tablespaces) == (1, 3, {"16400": f"{tmp_path}/gone"})


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    """A restored copy's folders; the file system of this test may have no reflinks."""
    monkeypatch.setattr(reflink, "_share", share)
    made = Copy(folder=str(tmp_path / "copy"), user="postgres", version="17", unit="copy")
    Path(made.data).mkdir(parents=True)
    Path(made.tablespaces).mkdir()
    return made


def share(copy: int, original: int, _: Path) -> None:
    os.sendfile(copy, original, 0, 99)


def test_a_copy_has_all_of_its_snapshot(folder: Path, copy: Copy) -> None:
    known = on_disk(taken("snapshot-1", files=3, bytes=12, tablespaces={"16400": "/x/y z"}))
    inside = known.folder / "tablespaces" / "16400" / "PG_17_1"
    inside.mkdir(parents=True)
    (inside / "1").write_text("abc")
    assert from_snapshot.filled(copy, known) == {"bytes": 12}
    link = Path(copy.data, "pg_tblspc", "16400")
    assert (link / "PG_17_1" / "1").read_text() == "abc"
    assert link.resolve().is_relative_to(copy.tablespaces)


def test_a_snapshot_that_goes_while_it_is_cloned_is_none(
    folder: Path, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = on_disk(taken("snapshot-1"))

    def remove_first(copy: int, original: int, _: Path) -> None:
        snapshot.remove(known.folder)

    monkeypatch.setattr(reflink, "_share", remove_first)
    assert from_snapshot.filled(copy, known) == {"failed": "there is no snapshot-1 any more"}


def test_a_snapshot_that_goes_at_the_last_moment_is_none(
    folder: Path, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = on_disk(taken("snapshot-1"))
    empty = from_snapshot.empty

    def remove_record(path: Path) -> None:
        (known.folder / "snapshot.json").unlink(missing_ok=True)
        empty(path)

    monkeypatch.setattr(from_snapshot, "empty", remove_record)
    assert from_snapshot.filled(copy, known) == {"failed": "there is no snapshot-1 any more"}


def test_a_snapshot_that_lacks_a_file_is_not_taken_for_whole(folder: Path, copy: Copy) -> None:
    known = on_disk(taken("snapshot-1"))
    (known.folder / "data" / "PG_VERSION").unlink()
    assert from_snapshot.filled(copy, known) == {
        "failed": "snapshot-1 is damaged: it had 2 files of 9 bytes, and 1 of 6 are there"
    }


def test_one_that_cannot_be_removed_keeps_nobody_from_the_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("snapshot-1", "snapshot-2", "snapshot-3"):
        on_disk(taken(name, at=float(name[-1])))
    remove = snapshot.remove

    def refuse(path: Path) -> None:
        if path.name == "snapshot-1":
            raise PermissionError(1, "Operation not permitted", str(path))
        remove(path)

    monkeypatch.setattr(snapshot, "remove", refuse)
    looking = watch(every_s=None, kept=1)
    for _ in range(3):
        looking.once()
    assert [each.id for each in snapshot.complete()] == ["snapshot-1", "snapshot-3"]
    assert capsys.readouterr().out.count("snapshot-1 cannot be removed") == 1
    assert "local_snapshots_stuck 1\n" in (folder / "metrics.prom").read_text()
    remove(folder / "snapshot-1")
    looking.once()
    assert "local_snapshots_stuck 0\n" in (folder / "metrics.prom").read_text()


def test_dropping_one_that_cannot_be_removed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_disk(taken("snapshot-1"))

    def refuse(path: Path) -> None:
        raise PermissionError(1, "Operation not permitted", "base/1")

    monkeypatch.setattr(snapshot, "remove", refuse)
    monkeypatch.setattr("sys.argv", ["local-snapshots", "drop", "snapshot-1"])
    service.main()
    said = json.loads(capsys.readouterr().out)["refused"]
    assert said.startswith("snapshot-1 cannot be removed: ") and "not permitted" in said


def test_what_is_cloned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The file system of this test may have no reflinks.
    monkeypatch.setattr(reflink, "_share", share)
    source, target = tmp_path / "main", tmp_path / "clone"
    for path in (
        *("PG_VERSION", "base/5/1259", "base/5/pg_internal.init", "base/pgsql_tmp/1.0"),
        *("pg_wal/000000010000000000000001", "pg_replslot/barman/state", "postmaster.pid"),
        *("global/pg_control", "base/5/t5_16384", "pg_xact/0000"),
    ):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        (source / path).write_text(path)
    (source / "pg_tblspc").mkdir()
    (source / "pg_tblspc" / "16400").symlink_to(tmp_path)
    found = reflink.clone(source, target, take._wanted)
    files = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
    assert files == {
        *("PG_VERSION", "base/5/1259", "base/5/t5_16384", "global/pg_control", "pg_xact/0000"),
    }
    assert (found.files, found.bytes) == (5, sum(len(path) for path in files))
    assert {"pg_wal", "pg_replslot", "pg_tblspc"} <= {path.name for path in target.iterdir()}
    assert list((target / "pg_tblspc").iterdir()) == []
    assert (target / "PG_VERSION").stat().st_mode & 0o777 == 0o600
