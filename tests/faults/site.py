"""The pair under test: its durability as it is, and the faults that can be done to it."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from lab.machines import machine
from lab.machines.spec import Hardware
from lab.net import fabric
from lab.net.client import Client
from tests.faults.ledger import Ledger
from tests.lab.stack import Application, Stack
from tests.waiting import eventually

POSTGRES, BARMAN = "postgres-lab", "barman-lab"
ADDRESS = {POSTGRES: "10.20.0.4", BARMAN: "10.20.1.4"}
TO_BARMAN, TO_POSTGRES = (POSTGRES, BARMAN), (BARMAN, POSTGRES)
UNIT = "postgresql@17-main"
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
    """A stack with durability sync-with-fallback, unless a test has changed that."""

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

    def lost(self, ledger: Ledger) -> set[int]:
        """Acknowledged, and not in the database."""
        present = {int(line) for line in self.stack.sql("SELECT id FROM ledger", "app").split()}
        return ledger.ids - present

    def guard(self) -> dict[str, Any]:
        """What the guard saw last."""
        said = self.stack.on(POSTGRES, "cat /run/durability-guard/status.json")
        return json.loads(said)

    def history(self) -> list[dict[str, Any]]:
        """Everything the guard has written down."""
        said = self.stack.on(POSTGRES, "cat /var/lib/durability-guard/history.jsonl")
        return [json.loads(line) for line in said.splitlines()]

    def protected(self, since: float) -> bool:
        """Whether commits wait for Barman, and Barman confirms them, at a look after `since`.

        The machines have this host's clock.
        """
        seen = self.stack.on(POSTGRES, "cat /run/durability-guard/status.json", check=False)
        try:
            status = json.loads(seen)
        except ValueError:
            return False
        look = status["look"]
        armed = status["exposed"] is None and status["state"]["settled"] and look["waits"]
        return armed and look["now"] > since and look["synchronous"] and status["waiting_s"] < 1

    def status(self) -> dict[str, Any]:
        """What `ops status` says, whatever it thinks of it."""
        return json.loads(self.stack.ops("status", "--json", check=False).stdout)

    def reasons(self) -> str:
        """Why it is not content, a line each, with the next command."""
        told = self.status()["reasons"]
        return "\n".join(f"{item['text']} → {item['next_command']}" for item in told)

    def until_content(self, timeout_s: float = 120) -> float:
        """The seconds until `ops status` has nothing to complain about."""
        began = time.monotonic()
        while reasons := self.reasons():
            assert time.monotonic() < began + timeout_s, f"after {timeout_s} s still: {reasons}"
        return time.monotonic() - began

    def until_protected(self, timeout_s: float = 120) -> float:
        """The seconds until it is."""
        now = time.monotonic()
        what = "commits to wait for Barman again"
        return eventually(what, lambda: self.protected(now), timeout_s)

    def set_level(self, level: str) -> None:
        """As an operator does it."""
        self.set("durability", level)
        self.up()

    def set(self, name: str, value: str) -> None:
        """Change one setting of the program; `up` brings it about."""
        self.stack.pulumi("config", "set", f"postgres-barman:{name}", value)

    def up(self) -> None:
        self.stack.pulumi("up", "--yes", "--skip-preview", "--non-interactive")

    def backups(self) -> dict[str, dict[str, Any]]:
        """What `ops backups` says of each backup, by its id, newest first."""
        told = json.loads(self.stack.ops("backups", "--json").stdout)["backups"]
        return {backup["id"]: backup for backup in told}

    def new_backup(self) -> str:
        """The id of a full backup taken now; its name need not be the newest."""
        before = set(self.backups())
        self.stack.ops("backup", "--wait")
        (taken,) = set(self.backups()) - before
        return taken

    def refused(self, *words: str) -> str:
        """Why a recovery is refused, on one line; PostgreSQL did not notice."""
        started = "SELECT pg_postmaster_start_time()"
        before = self.stack.sql(started)
        done = self.stack.ops("recover", "--yes", *words, check=False)
        assert done.returncode == 2, done.stdout + done.stderr
        assert self.stack.sql(started) == before
        return " ".join((done.stdout + done.stderr).split())

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
                'mount -o loop "$1" "$2" && find "$2/postgresql/17/main" -mindepth 1 -delete; '
                'code=$?; umount "$2"; exit $code'
            )
            subprocess.run(
                ["unshare", "-m", "sh", "-c", script, "destroy", disk, mounted], check=True
            )
        self.power_on(POSTGRES)

    def recover(self) -> None:
        """By the runbook, to the last acknowledged commit."""
        self.stack.ops("recover", "--yes")
