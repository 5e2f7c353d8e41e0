"""A backup that Barman has becomes a copy's files, whichever way it is stored."""

import getpass
import json
import shutil
import sys
import time
from pathlib import Path

import pytest

from host.domain import manifest
from host.restored_copy import backup as backup_module
from host.restored_copy import files, progress
from host.restored_copy import materialise as module
from host.restored_copy.backup import Backup
from host.restored_copy.copy import Copy
from host.restored_copy.materialise import materialise
from host.restored_copy.server import Failed
from tests.unit import packed_backup
from tests.unit.packed_backup import FILES, FILES_IN_TABLESPACE, LOCATION, TABLESPACE

ROOT = Path(__file__).resolve().parents[2]
ID = "20261201T040000"
BACKUP = Backup("pg", ID)
INFO = f"status=DONE\ntablespaces=[('fast', {TABLESPACE}, {LOCATION!r})]\n"
# What comes out: PostgreSQL would follow the map out of the folder.
EXPECTED = {name: content for name, content in FILES.items() if name != "tablespace_map"}


class Barman:
    """Barman's directory of one server, with one backup, and the program that sends it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "pg" / "base" / ID
        self.data = self.folder / "data"
        packed_backup.make(self.data)
        (self.folder / "backup.info").write_text(INFO)
        source = (ROOT / "host/files/barman-send-backup").read_text()
        for installed, here in (
            ("#!/usr/bin/python3 -I", f"#!{sys.executable} -I"),
            ("/usr/local/lib", str(ROOT)),
            ("Path(BARMAN_HOME, ", f"Path({str(folder)!r}, "),
        ):
            assert source.count(installed) == 1, installed
            source = source.replace(installed, here)
        self.sends = source
        self.program = folder / "send"
        self.install(source)
        monkeypatch.setattr(backup_module, "BARMAN_SEND_BACKUP", str(self.program))

    def install(self, text: str) -> None:
        fresh = self.program.with_suffix(".new")
        fresh.write_text(text)
        fresh.chmod(0o755)
        fresh.rename(self.program)

    def in_plain_files(self) -> None:
        """As the version before this one has taken it, with checksums that only PostgreSQL has."""
        shutil.rmtree(self.data)
        for name, content in EXPECTED.items():
            put(self.data / name, content)
        (self.data / "pg_wal/archive_status").mkdir(parents=True)
        for name, content in FILES_IN_TABLESPACE.items():
            put(self.folder / TABLESPACE / name, content)
        (self.data / "pg_tblspc").mkdir()
        (self.data / "pg_tblspc" / TABLESPACE).symlink_to(self.folder / TABLESPACE)
        inside = {f"pg_tblspc/{TABLESPACE}/{n}": text for n, text in FILES_IN_TABLESPACE.items()}
        text = packed_backup.manifest({**EXPECTED, **inside}, "CRC32C")
        (self.data / manifest.NAME).write_bytes(text)


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o600)


@pytest.fixture
def barman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Barman:
    return Barman(tmp_path / "barman", monkeypatch)


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Copy:
    monkeypatch.setattr(progress, "FOLDER", tmp_path / "run")
    found = Copy(str(tmp_path / "copy"), getpass.getuser(), "17", "u")
    for folder in (found.folder, found.data, found.tablespaces):
        Path(folder).mkdir(mode=0o700)
    return found


def complete(copy: Copy) -> None:
    found = {
        str(path.relative_to(copy.data)): path.read_bytes()
        for path in Path(copy.data).rglob("*")
        if path.is_file() and "pg_tblspc" not in path.parts
    }
    assert found == EXPECTED
    for name, content in FILES_IN_TABLESPACE.items():
        path = Path(copy.tablespace(LOCATION), name)
        assert path.read_bytes() == content
        assert path.stat().st_mode & 0o777 == 0o600
    assert files.locations(Path(copy.data)) == [LOCATION]
    assert Path(copy.data, "pg_wal").is_dir()


@pytest.mark.parametrize("plain", [False, True])
def test_everything_is_there_afterwards(barman: Barman, copy: Copy, plain: bool) -> None:
    if plain:
        barman.in_plain_files()
    # Of a run that was killed.
    put(Path(copy.data, "base/5/1259"), b"half")
    count = materialise(copy, BACKUP, lambda: None)
    complete(copy)
    tablespace = sum(map(len, FILES_IN_TABLESPACE.values()))
    assert count == sum(map(len, EXPECTED.values())) + tablespace


@pytest.mark.parametrize("plain", [False, True])
def test_a_file_that_is_short_is_named(barman: Barman, copy: Copy, plain: bool) -> None:
    short = {**EXPECTED, "PG_VERSION": b""}
    if plain:
        barman.in_plain_files()
        put(barman.data / "PG_VERSION", b"")
    else:
        packed_backup.pack(barman.data / "base.tar.zst", {**FILES, **short})
    with pytest.raises(Failed, match='"PG_VERSION" has 0 bytes, and 3 by the manifest'):
        materialise(copy, BACKUP, lambda: None)


def test_what_is_gone_is_named(barman: Barman, copy: Copy) -> None:
    (barman.data / f"{TABLESPACE}.tar.zst").unlink()
    with pytest.raises(Failed, match=rf"{TABLESPACE}\.tar\.zst of backup {ID} is not there"):
        materialise(copy, BACKUP, lambda: None)
    with pytest.raises(Failed, match="Barman has no backup 20250101T000000"):
        materialise(copy, Backup("pg", "20250101T000000"), lambda: None)


def test_an_archive_that_is_cut_off_is_no_whole_one(barman: Barman, copy: Copy) -> None:
    archive = barman.data / "base.tar.zst"
    content = archive.read_bytes()
    archive.write_bytes(content[: len(content) // 2])
    with pytest.raises(Failed):
        materialise(copy, BACKUP, lambda: None)


def test_a_sender_that_fails_says_why(barman: Barman, copy: Copy) -> None:
    failing = "#!/bin/sh\n[ $3 = base ] || exec {0} $@\nhead -c 100 {1}\necho lost >&2; exit 1\n"
    real = barman.program.with_name("real")
    real.write_text(barman.sends)
    real.chmod(0o755)
    barman.install(failing.format(real, barman.data / "base.tar.zst"))
    with pytest.raises(Failed, match=f"backup {ID} does not come from Barman: lost"):
        materialise(copy, BACKUP, lambda: None)


def test_a_machine_out_of_reach_is_said_so(
    barman: Barman, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OUTAGE_S", 0.0)
    barman.install("#!/bin/sh\necho 'ssh: No route to host' >&2; exit 255\n")
    with pytest.raises(Failed, match="cannot be reached: ssh: No route"):
        materialise(copy, BACKUP, lambda: None)


def test_an_outage_is_waited_for(
    barman: Barman, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks in the middle of an archive, and is there again at the second try."""
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    real = barman.program.with_name("real")
    real.write_text(barman.sends)
    real.chmod(0o755)
    mark = barman.folder / "broke"
    half = (barman.data / "base.tar.zst").stat().st_size // 2
    barman.install(
        f"#!/bin/sh\nif [ $3 != base ] || [ -e {mark} ]; then exec {real} $@; fi\ntouch {mark}\n"
        f"head -c {half} {barman.data}/base.tar.zst\nexit 255\n"
    )
    materialise(copy, BACKUP, lambda: None)
    complete(copy)
    assert mark.exists()
    assert progress.read(copy)["notes"] == [
        "the backup cannot be fetched from Barman; trying again and again"
    ]


@pytest.mark.parametrize("plain", [False, True])
def test_what_was_on_the_disk_does_not_come_again(barman: Barman, copy: Copy, plain: bool) -> None:
    """A power cut leaves files that have their size and nothing else: what was not forced to the
    disk, or was touched since, comes again; what does not belong there goes."""
    if plain:
        barman.in_plain_files()
    materialise(copy, BACKUP, lambda: None)
    data = Path(copy.data)
    kept = {path: path.stat().st_ino for path in data.rglob("*") if path.is_file()}
    zeroed, unknown = data / "global/pg_control", data / "base/5/1259"
    zeroed.write_bytes(bytes(8191) + b"x")
    listed = Path(copy.folder, "complete")
    lines = [line for line in listed.read_text().splitlines() if '"base/5/1259"' not in line]
    listed.write_text("\n".join(lines) + '\n["PG_VER' + "\0" * 20)
    unknown.write_bytes(bytes(unknown.stat().st_size))
    put(data / "recovery.signal", b"")
    before = {path: path.stat().st_mtime_ns for path in kept if path not in (zeroed, unknown)}
    count = materialise(copy, BACKUP, lambda: None)
    complete(copy)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert count == sum(map(len, {**EXPECTED, **FILES_IN_TABLESPACE}.values()))
    # Of another backup, nothing of it counts.
    other = json.dumps("another")
    listed.write_text("\n".join([other, *listed.read_text().splitlines()[1:]]) + "\n")
    materialise(copy, BACKUP, lambda: None)
    complete(copy)
    assert not any(path.stat().st_mtime_ns == changed for path, changed in before.items())


def test_a_damaged_backup_comes_as_it_is_once_it_is_accepted(barman: Barman, copy: Copy) -> None:
    files_now = {**FILES, "PG_VERSION": b"18\n", "base/5/1259": b"short"}
    packed_backup.pack(barman.data / "base.tar.zst", files_now)
    with pytest.raises(Failed, match=r"base/5/1259|PG_VERSION"):
        materialise(copy, BACKUP, lambda: None)
    materialise(copy, BACKUP, lambda: None, accepted=True)
    assert Path(copy.data, "PG_VERSION").read_bytes() == b"18\n"
    assert Path(copy.data, "base/5/1259").read_bytes() == b"short"
    notes = progress.read(copy)["notes"]
    assert 'DAMAGED, and accepted: "PG_VERSION" does not match its checksum' in notes


def test_a_full_disk_names_the_file(
    barman: Barman, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces = manifest.checked

    def full(path: str, *words: object) -> object:
        if path == "base/5/1259":
            raise OSError(28, "No space left on device")
        return pieces(path, *words)  # type: ignore[arg-type]

    monkeypatch.setattr(manifest, "checked", full)
    with pytest.raises(Failed, match="No space left on device: 'base/5/1259'"):
        materialise(copy, BACKUP, lambda: None)


def test_it_is_watched_and_ended_with_all_that_it_has_started(
    barman: Barman, copy: Copy, tmp_path: Path
) -> None:
    beats = tmp_path / "beats"
    barman.install(f"#!/bin/sh\nwhile :; do echo x >>{beats}; sleep 0.05; done\n")

    class Enough(Exception):
        pass

    def stop_it() -> None:
        if beats.exists():
            raise Enough

    with pytest.raises(Enough):
        materialise(copy, BACKUP, stop_it)
    time.sleep(0.3)
    size = beats.stat().st_size
    time.sleep(0.5)
    assert beats.stat().st_size == size


def test_the_command_over_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    words = Backup("pg", ID, "10.20.1.4").command("base")
    assert words[-2:] == ["barman@10.20.1.4", f"barman-send-backup pg {ID} base"]
    assert json.loads(json.dumps(BACKUP.document())) == BACKUP.document()
