"""A WAL file that Barman lacks, and everything that must not be taken for it."""

import subprocess
import sys
from pathlib import Path

import pytest

from host.domain import wal_store

NAME = "0000000200000001000000A7"
PROGRAM = Path(__file__).resolve().parents[2] / "host/files/barman-get-wal"


@pytest.mark.parametrize(
    "place",
    [
        f"wals/0000000200000001/{NAME}",
        f"wals/0000000200000001/{NAME}.partial",
        f"incoming/{NAME}",
        f"streaming/{NAME}",
        f"streaming/{NAME}.partial",
        "wals/00000003.history",
    ],
)
def test_a_file_anywhere_is_not_missing(tmp_path: Path, place: str) -> None:
    (tmp_path / "wals").mkdir()
    name = Path(place).name.removesuffix(".partial")
    assert wal_store.held(tmp_path, name, partial=True, mount_point="/") is False
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).touch()
    assert wal_store.held(tmp_path, name, partial=True, mount_point="/") is True
    complete = not place.endswith(".partial")
    assert wal_store.held(tmp_path, name, partial=False, mount_point="/") is complete


def test_nothing_is_missing_from_a_disk_that_is_not_there(tmp_path: Path) -> None:
    assert wal_store.held(tmp_path, NAME, partial=True, mount_point="/") is None
    (tmp_path / "wals").mkdir()
    assert wal_store.held(tmp_path, NAME, partial=True, mount_point=str(tmp_path)) is None


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    ("barman", "if_there", "if_missing"), [(0, 0, 0), (1, 4, 1), (2, 2, 2), (3, 3, 3), (-9, 4, 5)]
)
def test_barmans_exit_code_gets_a_meaning(
    tmp_path: Path, barman: int, if_there: int, if_missing: int, there: bool
) -> None:
    folder = tmp_path / "pg/wals/0000000200000001"
    folder.mkdir(parents=True)
    if there:
        (folder / NAME).touch()
    stand_in = tmp_path / "barman"
    end = f"exit {barman}" if barman >= 0 else f"kill {barman} $$"
    stand_in.write_text(f'#!/bin/sh\n[ "$*" = "get-wal --partial pg {NAME}" ] || exit 99\n{end}\n')
    stand_in.chmod(0o755)
    source = PROGRAM.read_text()
    for installed, here in (
        ("/usr/bin/barman", str(stand_in)),
        ("/usr/local/lib", str(PROGRAM.parents[2])),
        ("Path(BARMAN_HOME, server)", f"Path({str(tmp_path)!r}, server)"),
        ('partial="--partial" in words', 'partial=True, mount_point="/"'),
    ):
        assert source.count(installed) == 1, installed
        source = source.replace(installed, here)
    done = subprocess.run(
        [sys.executable, "-I", "-c", source, "--partial", "pg", NAME], check=False
    )
    assert done.returncode == (if_there if there else if_missing)


def test_a_question_about_no_file_keeps_barmans_answer(tmp_path: Path) -> None:
    stand_in = tmp_path / "barman"
    stand_in.write_text("#!/bin/sh\nexit 1\n")
    stand_in.chmod(0o755)
    source = PROGRAM.read_text().replace("/usr/bin/barman", str(stand_in))
    source = source.replace("/usr/local/lib", str(PROGRAM.parents[2]))
    for words in (["--test", "pg", "dummy_wal_name"], ["--peek", "4", "pg", NAME]):
        done = subprocess.run([sys.executable, "-I", "-c", source, *words], check=False)
        assert done.returncode == 1
