"""The oracle: commits that PostgreSQL acknowledged, written down outside both machines.

Several clients insert one row a transaction and note it here once the commit has returned.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

# Prints one JSON list a line: [id, sent, acknowledged, before, after, error or null], the first two
# times by the monotonic clock, the others by the time of day. Told to stop, it sends nothing more
# and waits for what it has sent: then what was acknowledged is what is printed.
WRITER = """
import json, os, signal, sys, threading, time
import psycopg
config = json.loads(sys.stdin.readline())
enough = threading.Event()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
speak = threading.Lock()

def clocks():
    return time.monotonic(), time.time()

def note(row, begun, ended, error):
    line = json.dumps([row, begun[0], ended[0], begun[1], ended[1], error])
    with speak:
        print(line, flush=True)

def write(number):
    at = 0
    while not enough.is_set():
        try:
            # Keepalives notice a server that is gone without a word, as it is when its machine is.
            with psycopg.connect(
                config["uri"], connect_timeout=3, autocommit=True, options=config["options"],
                keepalives_idle=3, keepalives_interval=3, keepalives_count=2, tcp_user_timeout=9000,
            ) as connection:
                while not enough.is_set():
                    at += 1
                    row, begun = config["first"] + number * 10**7 + at, clocks()
                    try:
                        connection.execute("INSERT INTO ledger (id) VALUES (%s)", (row,))
                    except psycopg.Error as error:
                        note(row, begun, clocks(), str(error))
                        raise
                    note(row, begun, clocks(), None)
                    time.sleep(0.01)
        except psycopg.Error:
            time.sleep(0.1)

threads = [
    threading.Thread(target=write, args=(number,), daemon=True)
    for number in range(config["clients"])
]
for thread in threads:
    thread.start()
signal.sigwait([signal.SIGTERM])
enough.set()
until = time.monotonic() + config["last_answers_s"]
for thread in threads:
    thread.join(max(0, until - time.monotonic()))
with speak:
    # Not by way of what a thread that still waits holds.
    os._exit(0)
"""
# For commits on their way when the writers are stopped: as long as a server that is gone may take
# to be noticed.
LAST_ANSWERS_S = 10


@dataclass(frozen=True)
class Commit:
    """An acknowledged commit: before it was sent and after it was acknowledged, by this host's
    monotonic clock (`sent`, `acknowledged`) and by its time of day (`before`, `after`), both in
    seconds. The machines have the same clocks."""

    id: int
    sent: float
    acknowledged: float
    before: float
    after: float


class Origin(Protocol):
    """Where the writers run: a client of the lab, or this host."""

    def start(self, argv: Sequence[str]) -> "subprocess.Popen[str]": ...


@dataclass
class Ledger:
    """What was acknowledged, and what failed, while its writers ran."""

    client: Origin
    uri: str
    clients: int = 4
    options: str = ""
    commits: list[Commit] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None
    _reader: threading.Thread | None = None

    def __enter__(self) -> "Ledger":
        self._process = self.client.start([sys.executable, "-c", WRITER])
        stdin = self._process.stdin
        assert stdin is not None
        # Rows of one ledger never meet those of another.
        first = time.time_ns() // 10**6 % 10**9 * 10**9
        config = {
            "uri": self.uri,
            "clients": self.clients,
            "options": self.options,
            "first": first,
            "last_answers_s": LAST_ANSWERS_S,
        }
        stdin.write(json.dumps(config) + "\n")
        stdin.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.wait_for_more(20, 60)
        except AssertionError:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """No commit more; those on their way have been acknowledged, or had time to be. Does
        nothing when called again."""
        assert self._process is not None
        assert self._reader is not None
        self._process.terminate()
        try:
            self._process.wait(LAST_ANSWERS_S + 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()

    def wait_for_more(self, count: int, timeout_s: float = 30) -> float:
        """Until `count` more commits are acknowledged; the seconds it took."""
        began, before = time.monotonic(), len(self.commits)
        while len(self.commits) < before + count:
            if time.monotonic() > began + timeout_s:
                raise AssertionError(
                    f"{len(self.commits) - before} of {count} commits in {timeout_s} s; "
                    f"last failures: {self.failures[-3:]}"
                )
            time.sleep(0.02)
        return time.monotonic() - began

    @property
    def ids(self) -> set[int]:
        """Of every acknowledged commit."""
        return {commit.id for commit in self.commits}

    def longest_commit(self) -> float:
        """How long the slowest acknowledged commit took, in seconds."""
        return max(commit.acknowledged - commit.sent for commit in self.commits)

    def acknowledged_between(self, begin: float, end: float) -> int:
        """Commits sent after `begin` and acknowledged before `end`."""
        return sum(begin < commit.sent and commit.acknowledged < end for commit in self.commits)

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                row, sent, acknowledged, before, after, error = json.loads(line)
            except ValueError:
                # Cut off when the writers were ended: not acknowledged to anybody.
                continue
            if error is None:
                self.commits.append(Commit(row, sent, acknowledged, before, after))
            else:
                self.failures.append(error.strip())


def moment(at: float) -> str:
    """A time of day as an operator types it."""
    return datetime.fromtimestamp(at, UTC).isoformat(sep=" ")
