"""WAL for a restored copy: a real feed, the real program that sends, and a store in a directory."""

import gzip
import lzma
import os
import pwd
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from host.domain.wal import name_of
from host.domain.wal_store import MISSING, STOPPED_BY_DAMAGE, STOPPED_BY_OUTAGE
from host.restored_copy import ahead, feed, store
from host.restored_copy.copy import Copy
from host.restored_copy.feed import Feed, FeedProcess
from host.restored_copy.store import Store

ROOT = Path(__file__).resolve().parents[2]
SIZE = 2**24
DEPTH = 16
ME = pwd.getpwuid(os.geteuid()).pw_name


def segment(number: int, timeline: int = 1) -> str:
    return name_of(timeline, number, SIZE)


def page(text: str) -> bytes:
    """Something that begins as WAL does, and takes more than one piece to send."""
    return b"\x16\xd1" + text.encode() * 100_000


class Barman:
    """Barman's directory of one server, and the programs on its machine."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.programs = folder / "pg", folder / "bin"
        for name in ("wals", "incoming", "streaming"):
            (self.folder / name).mkdir(parents=True)
        self.programs.mkdir()
        source = (ROOT / "host/files/barman-send-wal").read_text()
        for installed, here in (
            ("#!/usr/bin/python3 -I", f"#!{sys.executable} -I"),
            ("/usr/local/lib", str(ROOT)),
            ("Path(BARMAN_HOME, ", f"Path({str(folder)!r}, "),
            ("partial=partial)", 'partial=partial, mount_point="/")'),
            (
                "def main() -> None:",
                f"wal_store.BARMAN_GET_WAL = {self.path('get')!r}\n\ndef main() -> None:",
            ),
        ):
            assert source.count(installed) == 1, installed
            source = source.replace(installed, here)
        self.sends = source
        self.program("send", source)
        self.program("get", "#!/bin/sh\nexit 2\n")
        monkeypatch.setattr(store, "BARMAN_SEND_WAL", self.path("send"))
        monkeypatch.setattr(store, "BARMAN_GET_WAL", self.path("get"))
        monkeypatch.setattr(feed, "RETRY_S", 0.01)

    def path(self, name: str) -> str:
        return str(self.programs / name)

    def program(self, name: str, text: str) -> None:
        # In the place of one that may be about to start: a file that is written cannot be executed.
        fresh = Path(f"{self.path(name)}.new")
        fresh.write_text(text)
        fresh.chmod(0o755)
        fresh.rename(self.path(name))

    def put(self, name: str, content: bytes, where: str | None = None) -> Path:
        path = self.folder / (f"wals/{name[:16]}" if where is None else where) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def archive(self, first: int, last: int) -> None:
        for number in range(first, last + 1):
            self.put(segment(number), gzip.compress(page(str(number)), 1))


@pytest.fixture
def barman(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Barman:
    return Barman(tmp_path / "barman", monkeypatch)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    found = Copy(str(tmp_path / "copy"), ME, "17", "u")
    Path(found.wal).mkdir(parents=True)
    Path(found.data, "pg_wal").mkdir(parents=True)
    return found


class Fed:
    """A copy's feed, and what it told."""

    def __init__(self, copy: Copy, reserve: int = 0) -> None:
        self.told: list[tuple[str, str]] = []
        self.folder = Path(copy.wal)
        self.feed = Feed(copy, Store("pg", SIZE), lambda *words: self.told.append(words), reserve)

    def answer(self, name: str) -> int:
        return self.feed.answer(name)

    def take(self, name: str) -> bytes:
        """The file, as PostgreSQL takes it."""
        assert self.answer(name) == 0
        content = (self.folder / name).read_bytes()
        (self.folder / name).unlink()
        return content

    def ahead(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.ahead"))

    def kinds(self) -> list[str]:
        return [what for what, _ in self.told]


@pytest.fixture
def fed(copy: Copy, barman: Barman) -> Fed:
    return Fed(copy)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def settled(fed: Fed, names: list[str]) -> None:
    """Wait until just these are there, whole and uncompressed."""

    def whole() -> bool:
        try:
            sizes = {(fed.folder / f"{name}.ahead").stat().st_size for name in fed.ahead()}
        except FileNotFoundError:
            # What is not in the store goes again.
            return False
        return fed.ahead() == names and all(size > 100_000 for size in sizes)

    until(whole)
    # Nothing is under way any more.
    until(lambda: not fed.feed._ahead._coming)


def test_what_follows_is_there_before_it_is_asked_for(fed: Fed, barman: Barman) -> None:
    barman.archive(1, 5)
    assert fed.take(segment(1)) == page("1")
    settled(fed, [segment(number) for number in range(2, 6)])
    # The store is gone, and nobody notices until something is asked for that was not there.
    barman.folder.rename(barman.folder.with_name("gone"))
    for number in range(2, 6):
        assert fed.take(segment(number)) == page(str(number))
    assert fed.kinds() == ["asked"] * 5


def test_no_more_than_so_many_lie_there(fed: Fed, barman: Barman) -> None:
    barman.archive(1, 40)
    most = 0
    ended = threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.is_set():
            most = max(most, len(fed.ahead()))

    watching = threading.Thread(target=watch)
    watching.start()
    for number in range(1, 11):
        assert fed.take(segment(number)) == page(str(number))
    settled(fed, [segment(number) for number in range(11, 11 + DEPTH)])
    ended.set()
    watching.join()
    assert most == DEPTH


def test_large_segments_come_one_at_a_time(copy: Copy, barman: Barman) -> None:
    large = Store("pg", 2**30)
    fed = Feed(copy, large, lambda *_: None)
    for number in (1, 2, 3):
        barman.put(name_of(1, number, 2**30), page("x"))
    assert fed.answer(name_of(1, 1, 2**30)) == 0
    until(lambda: fed._ahead._there == {name_of(1, 2, 2**30)})
    assert not fed._ahead._coming


def test_the_disks_reserve_comes_first(copy: Copy, barman: Barman) -> None:
    barman.archive(1, 3)
    disk = os.statvfs(copy.wal)
    fed = Fed(copy, disk.f_bavail * disk.f_frsize)
    for number in (1, 2, 3):
        assert fed.take(segment(number)) == page(str(number))
        assert fed.feed._ahead._next() is None
    assert fed.ahead() == []


def test_damage_further_on_stops_nothing_before_it(fed: Fed, barman: Barman) -> None:
    barman.archive(1, 5)
    whole = gzip.compress(page("3"), 1)
    barman.put(segment(3), whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])
    assert fed.take(segment(1)) == page("1")
    until(lambda: segment(3) in fed.feed._ahead._vain and segment(2) in fed.ahead())
    assert fed.answer("00000002.history") == MISSING
    assert fed.take(segment(2)) == page("2")
    assert "damaged" not in fed.kinds()
    assert fed.answer(segment(3)) == STOPPED_BY_DAMAGE
    assert fed.told[-1] == ("damaged", segment(3))
    # What was found damaged ahead is looked at again when it is asked for.
    barman.put(segment(3), whole)
    assert fed.take(segment(3)) == page("3")
    assert fed.take(segment(4)) == page("4")


@pytest.mark.parametrize("cut", [True, False])
def test_a_compressed_file_that_is_cut_off_is_damaged(fed: Fed, barman: Barman, cut: bool) -> None:
    whole = lzma.compress(page("1"))
    barman.put(segment(1), whole[:-20] if cut else whole)
    assert fed.answer(segment(1)) == (STOPPED_BY_DAMAGE if cut else 0)


def test_what_was_missing_ahead_is_asked_for_again(fed: Fed, barman: Barman) -> None:
    barman.archive(1, 1)
    assert fed.take(segment(1)) == page("1")
    until(lambda: segment(2) in fed.feed._ahead._vain)
    assert fed.answer(segment(2)) == MISSING
    barman.archive(2, 4)
    assert fed.take(segment(2)) == page("2")
    settled(fed, [segment(3), segment(4)])


def test_a_segment_that_is_being_received_counts_when_it_is_asked_for(
    fed: Fed, barman: Barman
) -> None:
    barman.archive(1, 1)
    growing = barman.put(f"{segment(2)}.partial", page("half"), "streaming")
    assert fed.take(segment(1)) == page("1")
    until(lambda: segment(2) in fed.feed._ahead._vain)
    settled(fed, [])
    growing.write_bytes(page("more than half"))
    assert fed.take(segment(2)) == page("more than half")
    # Complete and archived, it is that one.
    growing.unlink()
    barman.archive(2, 2)
    assert fed.take(segment(2)) == page("2")


def test_another_timeline_leaves_nothing_of_the_old_one(fed: Fed, barman: Barman) -> None:
    barman.archive(1, 8)
    for number in (3, 4):
        barman.put(segment(number, 2), page(f"{number} on 2"))
    assert fed.take(segment(1)) == page("1")
    assert fed.answer(segment(2, 2)) == MISSING
    assert fed.take(segment(2)) == page("2")
    settled(fed, [segment(number) for number in range(3, 9)])
    assert fed.take(segment(3, 2)) == page("3 on 2")
    settled(fed, [segment(4, 2)])
    # Started again, as for a tablespace: from an earlier segment.
    assert fed.take(segment(1)) == page("1")
    assert fed.take(segment(2)) == page("2")


def breaking(barman: Barman, times: Path, after: int) -> str:
    """The program that sends, which ends in the middle of a file as often as `times` has bytes."""
    return barman.sends.replace(
        "def main() -> None:",
        f"""
class Breaking:
    def __init__(self, stream): self.stream, self.sent = stream, 0
    def flush(self): self.stream.flush()
    def write(self, data):
        self.sent += len(data)
        times = Path({str(times)!r})
        left = times.read_bytes()
        if self.sent > {after} and left:
            times.write_bytes(left[1:])
            self.stream.write(data[: len(data) // 2])
            self.stream.flush()
            import os
            os._exit(255)
        self.stream.write(data)

def main() -> None:""",
    ).replace("sys.stdout.buffer", "Breaking(sys.stdout.buffer)")


@pytest.mark.parametrize("after", [100, 1_000_000])
def test_a_connection_that_breaks_within_a_file_is_made_again(
    fed: Fed, barman: Barman, tmp_path: Path, after: int
) -> None:
    times = tmp_path / "times"
    times.write_bytes(b"xxxxx")
    barman.program("send", breaking(barman, times, after))
    for number in range(1, 41):
        barman.put(segment(number), page(str(number)))
    for number in range(1, 41):
        assert fed.take(segment(number)) == page(str(number))
    assert len(times.read_bytes()) < 5
    assert set(fed.kinds()) <= {"asked", "outage"}


def test_barman_out_of_reach_is_waited_for(
    fed: Fed, barman: Barman, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    barman.archive(1, 1)
    back = tmp_path / "back"
    barman.program("really", barman.sends)
    really = barman.path("really")
    barman.program("send", f'#!/bin/sh\n[ -e {back} ] || exit 255\nexec {really} "$@"\n')
    threading.Timer(0.3, back.touch).start()
    assert fed.take(segment(1)) == page("1")
    assert "outage" in fed.kinds()
    back.unlink()
    monkeypatch.setattr(feed, "OUTAGE_S", 0.1)
    barman.program("send", "#!/bin/sh\nexit 255\n")
    other = Fed(fed.feed.copy)
    assert other.answer(segment(1)) == STOPPED_BY_OUTAGE


def test_a_disk_that_is_not_mounted_is_no_end_of_the_wal(
    fed: Fed, barman: Barman, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(feed, "OUTAGE_S", 0.1)
    barman.program(
        "send", barman.sends.replace('mount_point="/"', f"mount_point={str(tmp_path)!r}")
    )
    assert fed.answer(segment(1)) == STOPPED_BY_OUTAGE


OLD_GATE = "#!/bin/sh\necho 'refused; this key may only fetch WAL' >&2\nexit 1\n"


@pytest.mark.parametrize("program", [OLD_GATE, None])
def test_a_machine_without_the_program_is_asked_for_each_file(
    fed: Fed, barman: Barman, program: str | None
) -> None:
    barman.archive(1, 2)
    barman.put(segment(3), b"")
    if program:
        barman.program("send", program)
    else:
        Path(barman.path("send")).unlink()
    barman.program(
        "get",
        f"""#!/bin/sh
for name; do :; done
file={barman.folder}/wals/{segment(1)[:16]}/$name
[ -e $file ] || exit 1
[ -s $file ] || exit 4
exec gzip -dc $file
""",
    )
    assert fed.take(segment(1)) == page("1")
    settled(fed, [segment(2)])
    assert fed.take(segment(2)) == page("2")
    assert fed.answer(segment(3)) == STOPPED_BY_DAMAGE
    assert fed.answer(segment(4)) == MISSING


def test_what_only_barman_can_read_it_reads(fed: Fed, barman: Barman) -> None:
    barman.put(segment(1), b"\x28\xb5\x2f\xfd and so on")
    barman.put(segment(2), b"\x28\xb5\x2f\xfd and so on")
    barman.program(
        "get", f"#!/bin/sh\n[ \"$*\" = '--partial pg {segment(1)}' ] && printf plain || exit 4\n"
    )
    assert fed.take(segment(1)) == b"plain"
    assert fed.answer(segment(2)) == STOPPED_BY_DAMAGE


@pytest.mark.parametrize("code", ["exit 1", "exit 2", "kill -9 $$"])
def test_barman_that_fails_to_read_what_is_there_does_not_end_the_wal(
    fed: Fed, barman: Barman, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "OUTAGE_S", 0.1)
    barman.put(segment(1), b"something else")
    barman.program("get", f"#!/bin/sh\n{code}\n")
    assert fed.answer(segment(1)) == STOPPED_BY_OUTAGE


def test_an_old_server_gets_histories_only(copy: Copy, barman: Barman) -> None:
    barman.archive(1, 1)
    told: list[tuple[str, str]] = []
    fed = Feed(copy, Store("pg", SIZE, histories_only=True), lambda *words: told.append(words))
    assert fed.answer(segment(1)) == MISSING
    assert told == []


@pytest.fixture
def process(copy: Copy, barman: Barman) -> Iterator[FeedProcess]:
    found = FeedProcess(copy, Store("pg", SIZE), 0)
    until(Path(copy.feed).exists)
    yield found


def restore(copy: Copy, name: str) -> int:
    """The copy's restore_command."""
    client = [sys.executable, "-I", "-S", str(ROOT / "host/restored_copy/wal_client.py")]
    words = [*client, copy.feed, copy.wal, name, "pg_wal/RECOVERYXLOG"]
    return subprocess.run(words, cwd=copy.data, check=False).returncode


def test_the_restore_command_gets_its_file_and_nothing_is_left(
    copy: Copy, barman: Barman, process: FeedProcess
) -> None:
    barman.archive(1, 8)
    barman.put(segment(3), b"\x1f\x8b damaged")
    assert restore(copy, segment(1)) == 0
    assert Path(copy.data, "pg_wal/RECOVERYXLOG").read_bytes() == page("1")
    assert restore(copy, segment(2)) == 0
    assert restore(copy, "00000002.history") == MISSING
    assert restore(copy, segment(3)) == STOPPED_BY_DAMAGE
    assert ("damaged", segment(3)) in process.told()
    assert restore(copy, segment(5)) == 0
    until(lambda: len(list(Path(copy.wal).iterdir())) >= 3)
    process.stop()
    assert list(Path(copy.wal).iterdir()) == []
    assert restore(copy, segment(4)) == STOPPED_BY_OUTAGE


def test_what_a_killed_feed_has_left_is_removed(copy: Copy, barman: Barman) -> None:
    Path(copy.wal, f"{segment(9)}.ahead").write_bytes(b"half")
    FeedProcess(copy, Store("pg", SIZE), 0).stop()
    assert list(Path(copy.wal).iterdir()) == []


def test_over_ssh_a_machine_that_is_gone_is_noticed() -> None:
    words = Store("pg", SIZE, "10.20.1.4").sender()
    assert words[-2:] == ["barman@10.20.1.4", "barman-send-wal pg"]
    assert "ServerAliveInterval=10" in words


def test_sixteen_of_the_default_size() -> None:
    assert ahead.ROOM // SIZE == DEPTH
