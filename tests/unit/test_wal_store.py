"""A WAL file that Barman lacks, and everything that must not be taken for it."""

import errno
import gzip
import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

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


def test_a_disk_that_fails_is_not_one_without_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wals").mkdir()
    stat = Path.stat

    def fails(path: Path, **words: bool) -> os.stat_result:
        if path.name == NAME:
            raise OSError(errno.EIO, "Input/output error")
        return stat(path, **words)

    monkeypatch.setattr(Path, "stat", fails)
    assert wal_store.held(tmp_path, NAME, partial=True, mount_point="/") is None


def test_what_moves_on_while_it_is_looked_for_is_met(tmp_path: Path) -> None:
    order = wal_store.places(tmp_path, NAME, partial=True)
    archive, growing = f"wals/{NAME[:16]}/{NAME}", f"streaming/{NAME}.partial"
    # From being received to complete, from complete to archived.
    moves = [tmp_path / growing, tmp_path / f"streaming/{NAME}", tmp_path / archive]
    assert [place for place in order[3:] if place in moves] == moves
    assert order[0] == tmp_path / archive


def sent(folder: Path, name: str = NAME, *, partial: bool = True, mounted: str = "/") -> Any:
    """The code, and what came."""
    pieces: list[bytes] = []
    code = wal_store.send(folder, name, pieces.append, partial=partial, mount_point=mounted)
    return code, b"".join(pieces)


def test_a_file_is_sent_as_it_is_archived(tmp_path: Path) -> None:
    folder = tmp_path / "wals" / NAME[:16]
    folder.mkdir(parents=True)
    assert sent(tmp_path) == (wal_store.MISSING, b"")
    assert sent(tmp_path, mounted=str(tmp_path)) == (wal_store.UNSEEN, b"")
    packed = gzip.compress(b"\x16\xd1" + os.urandom(10**6))
    (folder / NAME).write_bytes(packed)
    assert sent(tmp_path) == (0, packed)
    assert sent(tmp_path, f"../{NAME}")[0] == wal_store.NO_NAME
    (tmp_path / "streaming").mkdir()
    (tmp_path / f"streaming/{NAME}.partial").write_bytes(b"\x16\xd1 half")
    assert sent(tmp_path) == (0, packed)
    (folder / NAME).unlink()
    assert sent(tmp_path) == (0, b"\x16\xd1 half")
    assert sent(tmp_path, partial=False) == (wal_store.MISSING, b"")


def test_a_disk_that_does_not_give_the_content_has_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(io.RawIOBase):
        """A piece, and an error."""

        pieces: ClassVar = [b"\x16\xd1 a piece"]

        def read(self, size: int = -1) -> bytes:
            if not self.pieces:
                raise OSError(errno.EIO, "Input/output error")
            return self.pieces.pop()

    monkeypatch.setattr(Path, "open", lambda *_, **__: Failing())
    assert sent(tmp_path) == (wal_store.DAMAGED, b"\x16\xd1 a piece")


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
