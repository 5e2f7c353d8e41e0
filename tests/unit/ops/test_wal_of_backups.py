"""Complete backups whose WAL is gone, found by the names of files alone."""

import json
from pathlib import Path

import pytest

from ops.onmachine import wal_of_backups

ARCHIVED = ("02", "03", "05", "06", "07")
RECEIVED = ("08", "09.partial")


def segment(number: str) -> str:
    return f"00000001{0:08X}000000{number}"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two backups, of segments 2 to 3 and 5 to 6; segment 4 was never there."""
    server = tmp_path / "pg"
    archive = server / "wals" / segment("02")[:16]
    archive.mkdir(parents=True)
    (server / "streaming").mkdir()
    for number in ARCHIVED:
        (archive / segment(number)).touch()
    for number in RECEIVED:
        (server / "streaming" / segment(number)).touch()
    for name, begin, end in (("20260501T040000", "02", "03"), ("20260502T040000", "05", "06")):
        folder = server / "base" / name
        folder.mkdir(parents=True)
        text = f"status=DONE\nbegin_wal={segment(begin)}\nend_wal={segment(end)}\n"
        (folder / "backup.info").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("gone", "torn", "missing"),
    [
        (None, [], 0),
        ("wals/0000000100000000/" + segment("02"), ["20260501T040000"], 0),
        ("wals/0000000100000000/" + segment("06"), ["20260502T040000"], 1),
        ("wals/0000000100000000/" + segment("07"), [], 1),
        ("streaming/" + segment("08"), [], 1),
    ],
)
def test_wal_that_is_gone(
    store: Path,
    capsys: pytest.CaptureFixture[str],
    gone: str | None,
    torn: list[str],
    missing: int,
) -> None:
    if gone:
        (store / "pg" / gone).unlink()
    wal_of_backups.main(str(store), "pg")
    assert json.loads(capsys.readouterr().out) == {"torn": torn, "missing": missing}
