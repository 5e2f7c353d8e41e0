"""The oracle: commits that PostgreSQL acknowledged, written down outside both machines.

Several clients insert one row a transaction and note it here once the commit has returned.
"""

import json
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

from lab.net.client import Client

# Prints one JSON list a line: [id, sent, acknowledged, error or null].
WRITER = """
import json, sys, threading, time
import psycopg
told = json.loads(sys.stdin.readline())
speak = threading.Lock()

def note(*what):
    with speak:
        print(json.dumps(what), flush=True)

def write(number):
    at = 0
    while True:
        try:
            # Keepalives notice a server that is gone without a word, as it is when its machine is.
            with psycopg.connect(
                told["uri"], connect_timeout=3, autocommit=True, options=told["options"],
                keepalives_idle=3, keepalives_interval=3, keepalives_count=2, tcp_user_timeout=9000,
            ) as connection:
                while True:
                    at += 1
                    row, sent = told["first"] + number * 10**7 + at, time.monotonic()
                    try:
                        connection.execute("INSERT INTO ledger (id) VALUES (%s)", (row,))
                    except psycopg.Error as error:
                        note(row, sent, time.monotonic(), str(error))
                        raise
                    note(row, sent, time.monotonic(), None)
                    time.sleep(0.01)
        except psycopg.Error:
            time.sleep(0.1)

for number in range(told["clients"]):
    threading.Thread(target=write, args=(number,), daemon=True).start()
while True:
    time.sleep(3600)
"""


@dataclass(frozen=True)
class Commit:
    """An acknowledged commit; times are this host's monotonic clock."""

    id: int
    sent: float
    acknowledged: float


@dataclass
class Ledger:
    """What was acknowledged, and what failed, while its writers ran."""

    client: Client
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
        told = {"uri": self.uri, "clients": self.clients, "options": self.options, "first": first}
        stdin.write(json.dumps(told) + "\n")
        stdin.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.wait_for_more(20)
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        assert self._reader is not None
        self._process.send_signal(signal.SIGKILL)
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
                row, sent, at, error = json.loads(line)
            except ValueError:
                # Cut off when the writers were ended: not acknowledged to anybody.
                continue
            if error is None:
                self.commits.append(Commit(row, sent, at))
            else:
                self.failures.append(error.strip())
