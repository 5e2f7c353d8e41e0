"""WAL for a copy, which has no network itself: a process outside that puts the files it asks for
into its folder, one ahead of what it replays."""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from host.domain.paths import BARMAN_GET_WAL
from host.domain.wal import HISTORY, SEGMENT, name_of, number_of, timeline_of
from host.domain.wal_store import DAMAGED, MISSING, STOPPED_BY_DAMAGE, STOPPED_BY_OUTAGE
from host.restored_copy.copy import Copy
from host.restored_copy.user import child

# How long Barman may be out of reach: a reboot of its machine takes less.
OUTAGE_S = 600.0
RETRY_S = 2.0


@dataclass(frozen=True)
class Store:
    """Barman's WAL of one `server`, on this machine or, over SSH, at `address`. With
    `histories_only` it is as if it had nothing but the histories of timelines."""

    server: str
    segment_size: int
    address: str | None = None
    histories_only: bool = False

    def fetch(self, name: str, destination: Path, *, partial: bool) -> int:
        """Put the file there. Returns how barman-get-wal ends (host/domain/wal_store.py), or
        something else when that could not be asked. A segment that is still being received counts
        where `partial`."""
        flags = ["--partial"] if partial else []
        if self.address is None:
            with destination.open("wb") as file:
                words = [BARMAN_GET_WAL, *flags, self.server, name]
                return subprocess.run(words, stdout=file, check=False).returncode
        words = ["barman-wal-restore", *flags, "--user", "barman", self.address, self.server]
        return subprocess.run([*words, name, str(destination)], check=False).returncode

    def document(self) -> dict[str, Any]:
        """Ready for JSON; Store(**document) is the store again."""
        return asdict(self)


@dataclass
class Feed:
    """Answers one copy. `tell` gets (what, name): asked, outage, damaged."""

    copy: Copy
    store: Store
    tell: Callable[[str, str], None]
    ahead: "Ahead | None" = field(default=None, init=False)

    def answer(self, name: str) -> int:
        """restore_command's exit code for `name`; with 0 the file is in the copy's folder."""
        if self.store.histories_only and not name.endswith(HISTORY):
            return MISSING
        self.tell("asked", name)
        code, since = self._get(name), time.monotonic()
        while code not in (0, MISSING, DAMAGED):
            if time.monotonic() > since + OUTAGE_S:
                return STOPPED_BY_OUTAGE
            self.tell("outage", name)
            time.sleep(RETRY_S)
            code = self._get(name)
        if code == DAMAGED:
            self.tell("damaged", name)
            return STOPPED_BY_DAMAGE
        if code == 0 and SEGMENT.fullmatch(name):
            self.ahead = Ahead(self.store, Path(self.copy.wal), following(name, self.store))
        return code

    def _get(self, name: str) -> int:
        ahead, self.ahead = self.ahead, None
        if ahead is not None and ahead.name == name and ahead.there():
            return 0
        # Only what is asked for may be a segment that is still being received: it grows.
        return self.store.fetch(name, Path(self.copy.wal, name), partial=True)


class Ahead:
    """A complete segment fetched while the one before it is replayed."""

    def __init__(self, store: Store, folder: Path, name: str) -> None:
        self.name = name
        # Under another name: one that nobody waited for must not be in the way of what is asked
        # for meanwhile.
        self._path = folder / f"{name}.ahead"
        self._found = False
        self._thread = threading.Thread(target=self._fetch, args=(store,), daemon=True)
        self._thread.start()

    def _fetch(self, store: Store) -> None:
        self._found = store.fetch(self.name, self._path, partial=False) == 0

    def there(self) -> bool:
        """Whether it came; it has its own name then."""
        self._thread.join()
        if self._found:
            self._path.rename(self._path.with_suffix(""))
        return self._found


def following(name: str, store: Store) -> str:
    """The segment after this one on its timeline."""
    size = store.segment_size
    return name_of(timeline_of(name), number_of(name, size) + 1, size)


def serve(feed: Feed) -> None:
    """Answer until killed."""
    path = Path(feed.copy.feed)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        while True:
            asking, _ = listening.accept()
            with asking:
                name = asking.makefile().readline().strip()
                code = feed.answer(name)
                try:
                    asking.sendall(f"{code}\n".encode())
                except OSError:
                    # PostgreSQL was stopped meanwhile.
                    continue


class FeedProcess:
    """A feed as a process of the copy's user; what it tells is read without waiting."""

    def __init__(self, copy: Copy, store: Store) -> None:
        reading, writing = os.pipe()

        def work() -> None:
            os.close(reading)
            # With whatever it has started it is ended; what those complain of has a file.
            os.setsid()
            log = os.open(f"{copy.folder}/feed.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            serve(Feed(copy, store, lambda *words: _write(writing, words)))

        self._pid = child(copy.user, work)
        os.close(writing)
        os.set_blocking(reading, False)
        self._reading, self._rest = reading, b""

    def told(self) -> list[tuple[str, str]]:
        """What it told since the last time."""
        try:
            while chunk := os.read(self._reading, 65536):
                self._rest += chunk
        except BlockingIOError:
            pass
        *lines, self._rest = self._rest.split(b"\n")
        return [tuple(json.loads(line)) for line in lines]

    def stop(self) -> None:
        """End it."""
        os.kill(self._pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._reading)


def _write(descriptor: int, words: tuple[str, ...]) -> None:
    os.write(descriptor, json.dumps(words).encode() + b"\n")
