"""A lab stack for the recovery tests: its runbooks, its machines, and a writer outside of both."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lab.net import client

if TYPE_CHECKING:
    from tests.lab import conftest

CLIENT_ADDRESS = "10.30.0.7/32"
STEP_LINE = re.compile(r"\[(\d+)/\d+\] ")

# Inserts one row a transaction and prints `id before after` once the commit is acknowledged.
# Told to stop, it first prints what it has sent: then what was acknowledged is what is printed. The
# keepalives notice a server that is gone without a word, as it is when its machine is.
WRITER = """
import signal, sys, time
import psycopg
uri = sys.stdin.readline().strip()
told = []
signal.signal(signal.SIGTERM, lambda *_: told.append(True))
while not told:
    try:
        with psycopg.connect(
            uri, connect_timeout=3, autocommit=True, tcp_user_timeout=9000,
            keepalives_idle=3, keepalives_interval=3, keepalives_count=2,
        ) as connection:
            while not told:
                before = time.time()
                done = connection.execute("INSERT INTO ledger DEFAULT VALUES RETURNING id")
                print(done.fetchone()[0], repr(before), repr(time.time()), flush=True)
                time.sleep(0.005)
    except psycopg.Error:
        time.sleep(0.2)
"""


@dataclass(frozen=True)
class Entry:
    """An acknowledged commit: before it was sent, and after it was acknowledged."""

    id: int
    before: float
    after: float


@dataclass
class Stack:
    """The stack that is up, with a client to write into it."""

    up: conftest.Stack
    client: client.Client

    def ops(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a runbook as an operator does."""
        return self.up.ops(*words, check=check)

    def start_ops(self, *words: str) -> subprocess.Popen[str]:
        """Start a runbook, to be interrupted."""
        return self.up.start_ops(*words)

    def ops_patched(self, patch: str, *words: str) -> subprocess.CompletedProcess[str]:
        """A runbook with some of its own code replaced by `patch`."""
        return self.up.ops_patched(patch, *words)

    def finish(self) -> None:
        """Go on with the run that a power cut has interrupted, once both machines answer."""
        deadline, said = time.monotonic() + 300, ""
        while (done := self.ops("recover", "--resume", check=False)).returncode:
            said += done.stdout + done.stderr
            assert time.monotonic() < deadline and "No run is under way" not in done.stderr, said
            time.sleep(2)

    def on_postgres(self, script: str) -> str:
        """Run a shell script as root on PostgreSQL's machine."""
        return self.up.on(self.up.outputs["postgres"]["name"], f"set -e; {script}")

    def on_barman(self, script: str) -> str:
        return self.up.on(self.up.outputs["barman"]["name"], f"set -e; {script}")

    def sql(self, statement: str, database: str = "app") -> str:
        """One statement as the superuser, on the machine itself."""
        quoted = statement.replace("'", "'\\''")
        return self.on_postgres(
            f"cd /; runuser -u postgres -- psql -X -A -t -q -d {database} -c '{quoted}'"
        )

    def ids(self) -> set[int]:
        """What is in the ledger now."""
        return {int(line) for line in self.sql("SELECT id FROM ledger").split()}

    def new_ledger(self) -> None:
        self.sql(
            "DROP TABLE IF EXISTS ledger; CREATE TABLE ledger (id bigserial PRIMARY KEY); "
            "ALTER TABLE ledger OWNER TO app"
        )

    @contextmanager
    def writing(self, into: Path) -> Iterator[None]:
        """The writer at work; what was acknowledged is in `into`."""
        uri = self.up.outputs["databases"]["app"]["uri"]
        started = self.client.start([sys.executable, "-c", WRITER])
        assert started.stdin is not None and started.stdout is not None
        started.stdin.write(uri + "\n")
        started.stdin.close()
        copy = subprocess.Popen(["tee", str(into)], stdin=started.stdout, stdout=-3)
        started.stdout.close()
        try:
            yield
        finally:
            started.send_signal(signal.SIGTERM)
            started.wait()
            copy.wait()

    def wait_for_rows(self, ledger: Path, count: int) -> None:
        """Until that many commits were acknowledged."""
        deadline = time.monotonic() + 60
        while len(read(ledger)) < count:
            assert time.monotonic() < deadline, f"only {len(read(ledger))} rows were written"
            time.sleep(0.1)

    @contextmanager
    def filled(self, machine: str, left: int) -> Iterator[None]:
        """The data disk of a machine with that many bytes left."""
        leave = f"$(( $(df --output=avail -B1 /data | tail -1) - {left} ))"
        self.up.on(machine, f"fallocate -l {leave} /data/filling")
        try:
            yield
        finally:
            self.up.on(machine, "rm /data/filling")

    def write_for(self, ledger: Path, seconds: float) -> list[Entry]:
        """What was acknowledged in that time, at least 20 commits."""
        with self.writing(ledger):
            self.wait_for_rows(ledger, 20)
            time.sleep(seconds)
        return read(ledger)

    def recover(self, *words: str) -> str:
        """Recover, and be protected at its end; what it said."""
        said = self.ops("recover", *words, "--yes").stdout
        self.assert_protected()
        return said

    def assert_protected(self) -> None:
        done = self.ops("status", "--json", check=False)
        assert done.returncode == 0, done.stdout

    def wait_protected(self) -> None:
        """An aborted recovery's receiver needs a moment to connect again."""
        deadline = time.monotonic() + 180
        while (done := self.ops("status", check=False)).returncode:
            assert time.monotonic() < deadline, done.stdout
            time.sleep(1)

    def lose_data(self) -> None:
        """What a dying disk does: no server any more, and no data directory."""
        data = self.up.outputs["postgres"]["dataDirectory"]
        self.on_postgres(f'kill -9 "$(head -1 {data}/postmaster.pid)"; rm -rf {data}')


def read(ledger: Path) -> list[Entry]:
    """The acknowledged commits; a line cut off by a signal does not count."""
    lines = ledger.read_text().splitlines(keepends=True) if ledger.exists() else []
    words = [line.split() for line in lines if line.endswith("\n")]
    return [Entry(int(w[0]), float(w[1]), float(w[2])) for w in words if len(w) == 3]


def moment(at: float) -> str:
    """A time as an operator types it."""
    return datetime.fromtimestamp(at, UTC).isoformat(sep=" ")


def wait_for(runbook: subprocess.Popen[str], number: int) -> None:
    """Until the first step from `number` on has begun."""
    assert runbook.stdout is not None
    for line in runbook.stdout:
        found = STEP_LINE.match(line)
        if found and int(found[1]) >= number:
            return
    raise AssertionError(f"it ended before step {number}")


def kill_at(runbook: subprocess.Popen[str], number: int, after_s: float = 0.0) -> None:
    """Kill the runbook `after_s` into the first step from `number` on."""
    wait_for(runbook, number)
    time.sleep(after_s)
    runbook.send_signal(signal.SIGKILL)
    runbook.wait()


@contextmanager
def with_writer(up: conftest.Stack) -> Iterator[Stack]:
    """The stack with a client of its own, inside clientCidrs."""
    writer = client.attach(up.lab, "writer", CLIENT_ADDRESS)
    try:
        yield Stack(up, writer)
    finally:
        writer.detach()
