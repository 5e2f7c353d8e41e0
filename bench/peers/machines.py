"""The lab's two machines as the bench works on them: root's shell on each, what it has used, and
caches dropped."""

import os
import subprocess
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lab.machines import cgroup, machine
from lab.names import Lab

POSTGRES, BARMAN = "postgres-lab", "barman-lab"
FOLDER = "/data/bench"
DATABASE = "bench"
BINARIES = "/usr/lib/postgresql/17/bin"
# How each machine's own user reaches the other's, without the gates that ours are held to.
SSH = "/usr/local/bin/bench-ssh"
USERS = {POSTGRES: "postgres", BARMAN: "barman"}
_HOMES = {POSTGRES: "/var/lib/postgresql", BARMAN: "/var/lib/barman"}
_TIMEOUT_S = 1800
_DROP_CACHES = Path("/proc/sys/vm/drop_caches")
# Loading is not what is measured: its commits do not wait for Barman.
_LOCAL = "SET synchronous_commit = local;\n"


class Failed(RuntimeError):
    """A command on a machine that ended badly, with its last words."""


@dataclass(frozen=True)
class Used:
    """What both machines have used up to a moment: CPU in seconds, bytes on the network."""

    cpu_postgres: float
    cpu_barman: float
    moved: int


@dataclass(frozen=True)
class Machines:
    """Those of the stack that stands in `checkout`."""

    checkout: Path

    @cached_property
    def lab(self) -> Lab:
        return Lab.of(self.checkout / ".lab", "lab")

    def run(self, name: str, script: str, *, user: str = "root", stdin: str = "") -> str:
        """What a shell script says on a machine. Raises Failed."""
        argv = ["bash", "-euo", "pipefail", "-c", f"cd /\n{script}"]
        if user != "root":
            argv = ["runuser", "-u", user, "--", *argv]
        done = machine.execute(self.lab, name, argv, stdin=stdin, check=False, timeout=_TIMEOUT_S)
        if done.returncode:
            raise Failed(f"{script.strip()[:200]}: {(done.stderr or done.stdout).strip()[-600:]}")
        return done.stdout

    def as_own_user(self, name: str, script: str) -> str:
        """The same as postgres on PostgreSQL's machine, as barman on Barman's."""
        return self.run(name, script, user=USERS[name])

    def sql(self, statements: str, database: str = "postgres") -> str:
        """What psql says to the superuser, unaligned; each statement is its own transaction."""
        psql = f"psql -XAtq -v ON_ERROR_STOP=1 -d {database}"
        return self.run(POSTGRES, psql, user="postgres", stdin=_LOCAL + statements).strip()

    def pgbench_initialize(self, database: str, scale: int) -> None:
        """pgbench's tables; 15 MB for each of `scale`."""
        options = "PGOPTIONS='-c synchronous_commit=local'"
        self.as_own_user(POSTGRES, f"{options} {BINARIES}/pgbench -i -q -s {scale} {database} 2>&1")

    @cached_property
    def addresses(self) -> dict[str, str]:
        """Each machine's private one."""
        return {name: self.run(name, "hostname -I").split()[0] for name in USERS}

    @cached_property
    def data_directory(self) -> str:
        """PostgreSQL's."""
        return self.sql("SHOW data_directory")

    def install(self) -> None:
        """What the peers need, on both machines, and folders for what they make."""
        for name, user in USERS.items():
            self.run(
                name,
                "export DEBIAN_FRONTEND=noninteractive\napt-get update -qq\n"
                "apt-get install -qy --no-install-recommends pgbackrest rsync zstd >/dev/null\n"
                f"install -d -o {user} {FOLDER}",
            )
        keys = {name: self._key(name) for name in USERS}
        for name, other in ((POSTGRES, BARMAN), (BARMAN, POSTGRES)):
            self.run(name, f"cat >>{_HOMES[name]}/.ssh/authorized_keys", stdin=keys[other])

    def _key(self, name: str) -> str:
        """The public half of a new key of the machine's user, which SSH there uses."""
        key = f"{_HOMES[name]}/.ssh/bench"
        wrapper = f'#!/bin/sh\nexec ssh -q -i {key} -o IdentitiesOnly=yes "$@"\n'
        self.run(name, f"cat >{SSH} && chmod 755 {SSH}", stdin=wrapper)
        return self.as_own_user(
            name, f"ssh-keygen -q -t ed25519 -N '' -C bench -f {key} && cat {key}.pub"
        )

    def used(self) -> Used:
        """Up to now."""
        return Used(self._cpu(POSTGRES), self._cpu(BARMAN), self._moved())

    def _cpu(self, name: str) -> float:
        lines = (cgroup.path(self.lab, name) / "cpu.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6

    def _moved(self) -> int:
        # Of one machine: what they say to each other would count twice. Received and sent.
        rows = [line.split(":") for line in self.run(POSTGRES, "cat /proc/net/dev").splitlines()]
        cards = [row[1].split() for row in rows if len(row) == 2 and row[0].strip() != "lo"]
        return sum(int(card[0]) + int(card[8]) for card in cards)

    def settle(self, *, cold: bool) -> None:
        """Have written what is dirty, so that nobody pays for another one's work; with `cold`,
        forget every cached page of this computer."""
        self.sql("CHECKPOINT")
        os.sync()
        if cold:
            _DROP_CACHES.write_text("3\n")

    def archive_all(self) -> None:
        """Close the segment that is being written, and wait until Barman has archived it."""
        segment = self.sql(
            "SELECT pg_logical_emit_message(true, 'bench', '');\n"
            "SELECT pg_walfile_name(pg_switch_wal());"
        ).splitlines()[-1]
        path = f"/data/barman/pg/wals/{segment[:16]}/{segment}"
        deadline = time.monotonic() + 180
        archive = f"barman -q archive-wal pg >/dev/null 2>&1; test -e {path} && echo there || true"
        while self.as_own_user(BARMAN, archive).strip() != "there":
            if time.monotonic() > deadline:
                raise Failed(f"Barman has not archived {segment}")
            time.sleep(1)

    def journal(self, unit: str, since: float) -> str:
        """What a unit of PostgreSQL's machine logged since a moment in seconds since 1970, each
        line with its own."""
        when = f"--since=@{since:.3f}"
        return self.run(POSTGRES, f"journalctl --no-pager -q -o short-unix {when} -u {unit}")

    def ops(self, *words: str) -> str:
        """What an operator's command says. Raises Failed."""
        argv = [".venv/bin/python", "-m", "ops", *words]
        done = subprocess.run(argv, cwd=self.checkout, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failed(f"ops {' '.join(words)}: {(done.stderr + done.stdout).strip()[-600:]}")
        return done.stdout
