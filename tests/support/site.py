"""The stack with a client that writes into it: its durability, its faults and its recovery."""

import json
import shlex
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lab.machines import machine
from lab.machines.spec import Hardware
from lab.net import client, fabric
from lab.net.client import Client
from tests.support.application import Application
from tests.support.ledger import Commit, Ledger
from tests.support.stack import BARMAN, POSTGRES, Stack
from tests.support.waiting import eventually

# Inside clientCidrs.
CLIENT_ADDRESS = "10.30.0.7/32"
ADDRESS = {POSTGRES: "10.20.0.4", BARMAN: "10.20.1.4"}
TO_BARMAN, TO_POSTGRES = (POSTGRES, BARMAN), (BARMAN, POSTGRES)
FALLBACK, SYNC, ASYNC = "sync-with-fallback", "sync", "async"
FALLBACK_AFTER_S = 5
# A look a second, one more to act on, and a machine that has other work as well.
SLACK_S = 4.0


# Allocated, not written: nothing of it takes space on this host.
FILL = """
import os
descriptor, end, piece = os.open("/data/filler", os.O_CREAT | os.O_WRONLY), 0, 2**40
while piece >= 4096:
    try:
        os.posix_fallocate(descriptor, end, piece)
        end += piece
    except OSError:
        piece //= 2
assert os.statvfs("/data").f_bavail < 16
"""


@dataclass(frozen=True)
class Site:
    """The stack that is up, and a client outside both machines."""

    stack: Stack
    client: Client

    @property
    def application(self) -> Application:
        """The client with the password that the stack's outputs have."""
        return Application(self.client, self.stack.outputs["databases"]["app"]["uri"])

    def new_ledger(self) -> None:
        """An empty table. Does not wait for Barman."""
        self.stack.sql(
            "SET synchronous_commit = local; DROP TABLE IF EXISTS ledger; "
            "CREATE TABLE ledger (id bigint PRIMARY KEY); ALTER TABLE ledger OWNER TO app",
            "app",
        )

    def writing(self, clients: int = 4, options: str = "") -> Ledger:
        """Writers at work for the length of a `with`."""
        return Ledger(self.client, self.application.uri, clients, options)

    def write_for(self, seconds: float) -> list[Commit]:
        """What one client was acknowledged in that time, at least 20 commits."""
        with self.writing(1) as ledger:
            time.sleep(seconds)
        return ledger.commits

    def ids(self) -> set[int]:
        """What is in the database's ledger now."""
        return {int(line) for line in self.stack.sql("SELECT id FROM ledger", "app").split()}

    def lost(self, ledger: Ledger) -> set[int]:
        """Acknowledged, and not in the database."""
        return ledger.ids - self.ids()

    def on_postgres(self, script: str) -> str:
        """Run a shell script as root on PostgreSQL's machine."""
        return self.stack.on(POSTGRES, f"set -e; {script}")

    def on_barman(self, script: str) -> str:
        """The same on Barman's."""
        return self.stack.on(BARMAN, f"set -e; {script}")

    def sql(self, statement: str, database: str = "app") -> str:
        """What the superuser's psql says, one transaction for all of it; fails if it does."""
        quoted = statement.replace("'", "'\\''")
        return self.on_postgres(
            f"cd /; runuser -u postgres -- psql -X -A -t -q -d {database} -c '{quoted}'"
        )

    def in_clone(self, statement: str, database: str = "app") -> str:
        """The same in the clone of that name."""
        return self.as_clone(f"psql -X -A -t -q -d {database} -c {shlex.quote(statement)}")

    def as_clone(self, command: str) -> str:
        """What a shell command says whose PostgreSQL is the clone, as PostgreSQL's own user."""
        environment = "PGHOST=/data/clones/clone PGPORT=5433"
        return self.on_postgres(
            f"cd /; runuser -u postgres -- env {environment} sh -c {shlex.quote(command)}"
        )

    def recover(self, *words: str) -> str:
        """By the runbook, to the last acknowledged commit unless `words` say otherwise; what it
        said."""
        return self.stack.ops("recover", *words, "--yes").stdout

    def finish(self, how: str = "--resume") -> None:
        """End the run that a power cut has interrupted, once both machines answer."""
        deadline, said = time.monotonic() + 300, ""
        while (done := self.stack.ops("recover", how, check=False)).returncode:
            said += done.stdout + done.stderr
            assert time.monotonic() < deadline and "No run is under way" not in done.stderr, said
            time.sleep(2)

    def alive(self) -> str:
        """What no refused recovery changes: which start of the server this is, its timeline."""
        return self.sql(
            "SELECT pg_postmaster_start_time(), timeline_id FROM pg_control_checkpoint()"
        )

    def refused(self, *words: str) -> str:
        """Why a recovery is refused, on one line; PostgreSQL did not notice."""
        before = self.alive()
        done = self.stack.ops("recover", "--yes", *words, check=False)
        assert done.returncode == 2, done.stdout + done.stderr
        assert self.alive() == before
        return " ".join((done.stdout + done.stderr).split())

    def guard(self) -> dict[str, Any]:
        """What the guard saw last."""
        said = self.stack.on(POSTGRES, "cat /run/durability-guard/status.json")
        return json.loads(said)

    def guard_says(self) -> dict[str, Any] | None:
        """The same; None while nothing is to be read."""
        seen = self.stack.on(POSTGRES, "cat /run/durability-guard/status.json", check=False)
        try:
            return json.loads(seen)
        except ValueError:
            return None

    def history(self) -> list[dict[str, Any]]:
        """Everything the guard has written down."""
        said = self.stack.on(POSTGRES, "cat /var/lib/durability-guard/history.jsonl")
        return [json.loads(line) for line in said.splitlines()]

    def protected(self, since: float) -> bool:
        """Whether commits wait for Barman, and Barman confirms them, at a look after `since`.

        The machines have this host's clock.
        """
        status = self.guard_says()
        if status is None:
            return False
        look = status["look"]
        armed = status["exposed"] is None and status["state"]["settled"] and look["waits"]
        return armed and look["now"] > since and look["synchronous"] and status["waiting_s"] < 1

    def until_protected(self, timeout_s: float = 120) -> float:
        """The seconds until it is."""
        now = time.monotonic()
        what = "commits to wait for Barman again"
        return eventually(what, lambda: self.protected(now), timeout_s)

    @contextmanager
    def partition(self, *directions: tuple[str, str]) -> Iterator[None]:
        """Packets from one machine to another vanish, silently, in each direction given."""
        rules = "\n".join(
            f"ip saddr {ADDRESS[source]} ip daddr {ADDRESS[target]} drop"
            for source, target in directions
        )
        table = (
            "table inet fault { chain forward { type filter hook forward priority -300;\n"
            f"{rules}\n}}\n}}"
        )
        fabric.run_in(self.stack.lab, ["nft", table])
        try:
            yield
        finally:
            fabric.run_in(self.stack.lab, ["nft", "delete table inet fault"])

    @contextmanager
    def full(self, name: str) -> Iterator[None]:
        """Not a file can grow on the machine's data disk."""
        try:
            self.stack.on(name, f"python3 - <<'END'\n{FILL}END")
            yield
        finally:
            self.stack.on(name, "rm -f /data/filler")

    @contextmanager
    def filled(self, name: str, left: int) -> Iterator[None]:
        """The data disk of a machine with that many bytes left."""
        leave = f"$(( $(df --output=avail -B1 /data | tail -1) - {left} ))"
        self.stack.on(name, f"fallocate -l {leave} /data/filling")
        try:
            yield
        finally:
            self.stack.on(name, "rm /data/filling")

    def lose_data(self) -> None:
        """What a dying disk does: no server any more, and no data directory."""
        data = self.stack.outputs["postgres"]["dataDirectory"]
        self.on_postgres(f'kill -9 "$(head -1 {data}/postmaster.pid)"; rm -rf {data}')

    def cut_power(self, name: str) -> None:
        """What the machine had not forced to its disk is gone."""
        machine.kill(self.stack.lab, name)

    def power_on(self, name: str) -> None:
        self.stack.lab_command("power-on", name)

    def destroy_database(self) -> None:
        """Cut PostgreSQL's power and lose its data directory before anything can read it again."""
        self.cut_power(POSTGRES)
        folder = self.stack.lab.directory / "machines" / POSTGRES
        disk = Hardware.read(folder / "hardware.json").disks[0].path
        with tempfile.TemporaryDirectory() as mounted:
            script = (
                'mount -o loop "$1" "$2" && find "$2/postgresql/$3" -mindepth 1 -delete; '
                'code=$?; umount "$2"; exit $code'
            )
            subprocess.run(
                ["unshare", "-m", "sh", "-c", script, "destroy", disk, mounted, self.stack.cluster],
                check=True,
            )
        self.power_on(POSTGRES)


@contextmanager
def with_client(stack: Stack) -> Iterator[Site]:
    """The stack with a client of its own."""
    attached = client.attach(stack.lab, "writer", CLIENT_ADDRESS)
    try:
        yield Site(stack, attached)
    finally:
        attached.detach()
