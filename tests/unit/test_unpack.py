"""A packed backup that becomes a copy's files."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from host.domain import manifest, packed
from host.domain.manifest import Damaged
from host.restored_copy import files
from host.restored_copy.complete import Complete
from host.restored_copy.copy import Copy
from host.restored_copy.unpack import Places, Unpacking
from tests.unit import packed_backup
from tests.unit.packed_backup import FILES, FILES_IN_TABLESPACE, LOCATION, TABLESPACE

SPACES = {TABLESPACE: LOCATION}


def unpack(backup: Path, folder: Path, *names: str, spaces: Mapping[str, str] = SPACES) -> Copy:
    copy = Copy(str(folder), "postgres", "17", "unit")
    for each in (copy.folder, copy.data, copy.tablespaces):
        Path(each).mkdir()
    entries = manifest.read((backup / manifest.NAME).read_bytes())
    places = Places(copy, spaces)
    places.link()
    complete = Complete(folder, "it", places.of)
    unpacking = Unpacking(places, entries, complete, lambda _: None, objected)
    for name, path in packed.archives(backup).items():
        if name in names:
            with path.open("rb", buffering=0) as compressed:
                unpacking.add(name, compressed)
    assert [path.split("/")[0] for path in unpacking.missing()] == [
        "pg_tblspc" for _ in FILES_IN_TABLESPACE if TABLESPACE not in names
    ]
    return copy


def objected(damage: Damaged) -> None:
    raise damage


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    packed_backup.make(tmp_path / "backup")
    return tmp_path / "backup"


def test_every_file_lies_where_the_copy_has_it(backup: Path, tmp_path: Path) -> None:
    copy = unpack(backup, tmp_path / "copy", "base", TABLESPACE)
    for name, content in FILES.items():
        path = Path(copy.data, name)
        if name == "tablespace_map":
            # PostgreSQL would follow it out of the folder.
            assert not path.exists()
            continue
        assert path.read_bytes() == content
        assert path.stat().st_mode & 0o777 == 0o600
    for name, content in FILES_IN_TABLESPACE.items():
        assert Path(copy.tablespace(LOCATION), name).read_bytes() == content
        assert Path(copy.data, "pg_tblspc", TABLESPACE, name).read_bytes() == content
    assert Path(copy.data, "pg_wal").stat().st_mode & 0o777 == 0o700
    assert files.locations(Path(copy.data)) == [LOCATION]


def test_what_does_not_come_is_missed(backup: Path, tmp_path: Path) -> None:
    unpack(backup, tmp_path / "copy", "base")
    with pytest.raises(Damaged, match="of a tablespace that"):
        unpack(backup, tmp_path / "other", "base", TABLESPACE, spaces={})


def test_a_file_that_is_not_what_was_sent_stops_it(backup: Path, tmp_path: Path) -> None:
    packed_backup.pack(backup / "base.tar.zst", FILES | {"PG_VERSION": b"18\n"})
    with pytest.raises(Damaged, match='"PG_VERSION" does not match its checksum'):
        unpack(backup, tmp_path / "copy", "base", TABLESPACE)
