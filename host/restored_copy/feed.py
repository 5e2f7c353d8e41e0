"""WAL for a copy, which has no network itself: a process outside that puts the files it asks for
into its folder."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from host.domain.wal import HISTORY, SEGMENT
from host.domain.wal_store import DAMAGED, MISSING, STOPPED_BY_DAMAGE, STOPPED_BY_OUTAGE
from host.restored_copy.ahead import Ahead
from host.restored_copy.copy import Copy
from host.restored_copy.files import empty
from host.restored_copy.store import Connection, Store
from host.restored_copy.user import child

# How long Barman may be out of reach: a reboot of its machine takes less.
OUTAGE_S = 600.0
RETRY_S = 2.0


class Feed:
    """Answers one copy. `tell` gets (what, name): asked, outage, damaged. What is fetched ahead
    leaves `reserve` bytes of the disk free."""

    def __init__(
        self, copy: Copy, store: Store, tell: Callable[[str, str], None], reserve: int = 0
    ) -> None:
        self.copy, self.store, self.tell = copy, store, tell
        self._connection = Connection(store)
        self._ahead = Ahead(store, Path(copy.wal), reserve)

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
            self._ahead.go_on_after(name)
        return code

    def _get(self, name: str) -> int:
        if self._ahead.take(name):
            return 0
        # Only what is asked for may be a segment that is still being received: it grows.
        return self._connection.fetch(name, Path(self.copy.wal, name), partial=True)


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
    """A feed as a process of the copy's user; what it tells is read without waiting. `reserve` as
    for Feed."""

    def __init__(self, copy: Copy, store: Store, reserve: int) -> None:
        self._folder = Path(copy.wal)
        # One before may have been killed.
        empty(self._folder)
        reading, writing = os.pipe()

        def work() -> None:
            os.close(reading)
            # With whatever it has started it is ended; what those complain of has a file.
            os.setsid()
            log = os.open(f"{copy.folder}/feed.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)
            serve(Feed(copy, store, lambda *words: _write(writing, words), reserve))

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
        """End it. What came and was not asked for is removed."""
        os.kill(self._pid, signal.SIGKILL)
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._reading)
        empty(self._folder)


def _write(descriptor: int, words: tuple[str, ...]) -> None:
    os.write(descriptor, json.dumps(words).encode() + b"\n")
