"""What backups that never ended have left is removed, and nothing else; no backup is taken whose
name would sort before another's."""

import subprocess
from pathlib import Path

import pytest

FILES = Path(__file__).resolve().parents[2] / "host" / "files"
PROGRAM = FILES / "remove-broken-backups"
NEVER_ENDED = "end_time=None\nstatus={}\n"
ENDED = "end_time=2026-11-01 04:10:00\nstatus={}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Barman's directory of one server, and a Barman that notes what it is asked to delete."""
    (tmp_path / "bin").mkdir()
    barman = tmp_path / "bin" / "barman"
    barman.write_text(f'#!/bin/sh\necho "$*" >>{tmp_path}/asked\n')
    barman.chmod(0o755)
    (tmp_path / "pg" / "base").mkdir(parents=True)
    (tmp_path / "pg" / "meta").mkdir()
    return tmp_path / "pg"


def deleted(folder: Path) -> list[str]:
    path = f"{folder.parent}/bin:/usr/bin:/bin"
    subprocess.run([PROGRAM, folder], env={"PATH": path}, check=True)
    asked = folder.parent / "asked"
    return [line.split()[-1] for line in asked.read_text().splitlines()] if asked.exists() else []


def backup(folder: Path, name: str, info: str, beside: bool = False) -> None:
    """A backup with its entry in the catalogue, where Barman keeps it now, or kept it before."""
    (folder / "base" / name).mkdir()
    entry = folder / "base" / name / "backup.info"
    (entry if beside else folder / "meta" / f"{name}-backup.info").write_text(info)


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize("left", [NEVER_ENDED.format(s) for s in ("STARTED", "FAILED")] + [""])
def test_what_never_ended_goes(folder: Path, left: str, beside: bool) -> None:
    backup(folder, "20261101T040000", ENDED.format("DONE"), beside)
    backup(folder, "20261102T040000", left, beside)
    backup(folder, "20261103T040000", ENDED.format("DONE"), beside)
    assert deleted(folder) == ["20261102T040000"]


def test_the_oldest_stays_for_barman_would_delete_wal_with_it(folder: Path) -> None:
    backup(folder, "20261101T040000", NEVER_ENDED.format("FAILED"))
    backup(folder, "20261102T040000", ENDED.format("DONE"))
    assert deleted(folder) == []


def test_what_ended_stays_whatever_became_of_it(folder: Path) -> None:
    for day, status in enumerate(("DONE", "FAILED", "WAITING_FOR_WALS", "DONE"), 1):
        backup(folder, f"2026110{day}T040000", ENDED.format(status))
    assert deleted(folder) == []


def test_an_empty_catalogue_is_left_alone(folder: Path) -> None:
    assert deleted(folder) == []


@pytest.mark.parametrize(
    ("there", "code"),
    [
        ([("20261101T040000", "DONE")], 0),
        ([], 0),
        ([("20261101T040000", "DONE"), ("20261102T050000", "DONE")], 1),
        ([("20261102T050000", "WAITING_FOR_WALS")], 1),
        # No WAL is kept for these.
        ([("20261102T050000", "FAILED")], 0),
        ([("20261102T050000", "STARTED")], 0),
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_a_backup_that_would_not_sort_last_is_not_taken(
    folder: Path, there: list[tuple[str, str]], code: int, beside: bool
) -> None:
    for name, status in there:
        backup(folder, name, ENDED.format(status), beside)
    clock = folder.parent / "bin" / "date"
    clock.write_text("#!/bin/sh\necho 20261102T040000\n")
    clock.chmod(0o755)
    done = subprocess.run(
        [FILES / "barman-backup-order", folder],
        env={"PATH": f"{folder.parent}/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert ("20261102T050000 is there" in done.stdout) == bool(code)
