"""A packed backup, read without being unpacked and held against its manifest."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from host.backup_verify.packed_files import wrong, wrong_outside
from host.domain import manifest, packed
from tests.unit import packed_backup
from tests.unit.packed_backup import FILES, FILES_IN_TABLESPACE, LOCATION, TABLESPACE

FIELDS = {"tablespaces": f"[('fast', {TABLESPACE}, '{LOCATION}')]", "compression": "zstd"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    packed_backup.make(tmp_path / "data")
    return tmp_path / "data"


def found(data: Path) -> list[str]:
    return wrong(data, FIELDS, lambda: None)


def test_a_backup_as_it_was_sent(data: Path) -> None:
    pieces: list[None] = []
    assert wrong(data, FIELDS, lambda: pieces.append(None)) == []
    # One that is paused stands still inside of a file, too.
    assert len(pieces) > len(FILES) + len(FILES_IN_TABLESPACE) - 1
    assert list(packed.archives(data)) == ["base", TABLESPACE]


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def cut(path: Path, rest: int) -> None:
    path.write_bytes(path.read_bytes()[:-rest])


def without_control(data: Path) -> None:
    packed_backup.pack(
        data / "base.tar.zst", {k: v for k, v in FILES.items() if k != "global/pg_control"}
    )


HARMS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte of an archive": (
        lambda data: flip(data / "base.tar.zst", 100),
        '"backup_label" does not match its checksum',
    ),
    "an archive cut off": (lambda data: cut(data / "base.tar.zst", 20), "base.tar.zst: "),
    "the last byte of an archive": (lambda data: cut(data / "base.tar.zst", 1), "base.tar.zst: "),
    "an empty archive": (lambda data: (data / "base.tar.zst").write_bytes(b""), "base.tar.zst: "),
    "no archive of a tablespace": (
        lambda data: (data / f"{TABLESPACE}.tar.zst").unlink(),
        f"{TABLESPACE}.tar.zst is missing",
    ),
    "an archive that Barman has not noted": (
        lambda data: packed_backup.pack(data / "16500.tar.zst", {}),
        "16500.tar.zst is of no known tablespace",
    ),
    "no base archive": (lambda data: (data / "base.tar.zst").unlink(), "base.tar.zst is missing"),
    "the manifest edited": (lambda data: flip(data / "backup_manifest", 200), "backup_manifest"),
    "the manifest's last line edited": (
        lambda data: flip(data / "backup_manifest", -10),
        "backup_manifest",
    ),
    "the manifest cut off": (lambda data: cut(data / "backup_manifest", 40), "backup_manifest"),
    "an empty manifest": (
        lambda data: (data / "backup_manifest").write_bytes(b""),
        "backup_manifest",
    ),
    "no manifest": (lambda data: (data / "backup_manifest").unlink(), "backup_manifest"),
    "another content of the same size": (
        lambda data: packed_backup.pack(data / "base.tar.zst", FILES | {"PG_VERSION": b"18\n"}),
        '"PG_VERSION" does not match its checksum',
    ),
    "a longer file": (
        lambda data: packed_backup.pack(data / "base.tar.zst", FILES | {"PG_VERSION": b"17.2\n"}),
        '"PG_VERSION" has 5 bytes, and 3 by the manifest',
    ),
    "a file less": (without_control, '"global/pg_control" is in the manifest and not there'),
    "a file more": (
        lambda data: packed_backup.pack(data / "base.tar.zst", FILES | {"base/5/666": b""}),
        '"base/5/666" is there and not in the manifest',
    ),
    "a file outside": (
        lambda data: packed_backup.pack(
            data / "base.tar.zst", {"../authorized_keys": b"", **FILES}
        ),
        "outside of the data directory",
    ),
    "a checksum that nothing here computes": (
        lambda data: (data / "backup_manifest").write_bytes(
            packed_backup.manifest(FILES, "CRC32C")
        ),
        "CRC32C",
    ),
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_is_not_as_it_was_sent(data: Path, harm: str) -> None:
    do, complaint = HARMS[harm]
    do(data)
    assert complaint in found(data)[0]


def test_no_byte_of_an_archive_changes_unseen(data: Path) -> None:
    path = data / f"{TABLESPACE}.tar.zst"
    sound, content = path.read_bytes(), unpacked(path)
    for at in range(len(sound)):
        flip(path, at)
        # Some say nothing of the content: how much memory it needs, how many zeros are at its end.
        assert found(data) or unpacked(path) == content
        path.write_bytes(sound)


def unpacked(path: Path) -> bytes:
    return subprocess.run(["zstd", "-dcq", path], capture_output=True, check=False).stdout.rstrip(
        b"\0"
    )


OUTSIDE = (
    "an archive cut off",
    "an empty archive",
    "no archive of a tablespace",
    "no base archive",
    "an archive that Barman has not noted",
    "the manifest edited",
    "the manifest cut off",
    "no manifest",
)


def test_what_is_seen_without_reading_the_archives(data: Path) -> None:
    # With Barman's own notes of the backup.
    size = sum(path.stat().st_size for path in data.iterdir()) + 1500
    fields = FIELDS | {"size": str(size)}
    assert wrong_outside(data, fields) == []
    packed_backup.pack(data / "base.tar.zst", FILES | {"more": os.urandom(2 * 2**20)})
    assert "bytes" in wrong_outside(data, fields)[0]


@pytest.mark.parametrize("harm", OUTSIDE)
def test_harm_that_is_seen_without_reading_the_archives(data: Path, harm: str) -> None:
    base = data / "base.tar.zst"
    packed_backup.pack(base, FILES | {"base/5/1259": os.urandom(2 * 2**20)})
    size = sum(path.stat().st_size for path in data.iterdir())
    if harm == "an archive cut off":
        cut(base, 2**20 + 1)
    else:
        HARMS[harm][0](data)
    assert wrong_outside(data, FIELDS | {"size": str(size)}) != []


def test_everything_that_is_wrong_is_told(data: Path) -> None:
    changed = {"PG_VERSION": b"18\n", "global/pg_control": bytes(8191) + b"\1"}
    packed_backup.pack(data / "base.tar.zst", FILES | changed)
    assert [line.split('"')[1] for line in found(data)] == list(changed)


def test_a_name_that_is_not_utf8(tmp_path: Path) -> None:
    odd = b"base/5/na\xefve".decode("utf-8", "surrogateescape")
    packed_backup.make(tmp_path / "data", FILES | {odd: b"x"})
    assert b"Encoded-Path" in (tmp_path / "data" / "backup_manifest").read_bytes()
    assert found(tmp_path / "data") == []


def test_a_program_that_is_not_there_is_no_damage(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        found(data)


def test_a_manifest_without_checksums_proves_nothing() -> None:
    line = '{ "Path": "PG_VERSION", "Size": 3, "Last-Modified": "2026-12-01 00:00:00 GMT" }'
    files = manifest.Files({"PG_VERSION": manifest._entry(json.loads(line))})
    with pytest.raises(manifest.Damaged, match="checksum"):
        list(files.checked("PG_VERSION", 3, lambda _: b""))
