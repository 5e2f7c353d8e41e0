"""The copy's PostgreSQL: its unit started, asked and stopped."""

import re
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from host.domain import sessions
from host.restored_copy import confinement, user
from host.restored_copy.copy import SUPERUSER, Copy

PSQL = ("psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1")
POLL_S = 0.05
# A server's last words may reach the journal a moment after its end.
JOURNAL_SETTLES_S = 0.3


class Failed(Exception):
    """The copy cannot be brought back, with the reason for the operator."""


class Refused(Exception):
    """A statement that PostgreSQL refused, in its words."""


class Server:
    """The server of `copy`, which may not be running."""

    def __init__(self, copy: Copy) -> None:
        self.copy = copy
        self._started = 0.0

    def control(self) -> str:
        """What pg_controldata says. Raises Failed where there is no cluster."""
        done = self.command([f"{self.copy.binaries}/pg_controldata", "-D", self.copy.data])
        if done.returncode:
            raise Failed(f"what was restored is not a cluster: {done.stderr.strip()}")
        return done.stdout

    def start(self, control: str, locations: Iterable[str], properties: Mapping[str, str]) -> None:
        """Start it, confined, with what its control file asks for (`control`) and its tablespaces
        at `locations`; `properties` are its unit's beside those of its confinement."""
        slots = len(list(Path(self.copy.data, "pg_replslot").iterdir()))
        options = confinement.options(self.copy, control, slots)
        self.launch(locations, options, properties)

    def launch(
        self, locations: Iterable[str], options: Mapping[str, str], properties: Mapping[str, str]
    ) -> None:
        """The same with another command line. Raises Failed."""
        copy = self.copy
        limits = {**properties, **confinement.properties(copy, locations, systemd_version())}
        self._started = time.time()
        done = subprocess.run(
            [
                *("systemd-run", "--quiet", "--collect", "--property=Type=exec"),
                f"--unit={copy.unit}",
                *(f"--uid={copy.user}", "--property=WorkingDirectory=/"),
                *(f"--property={name}={value}" for name, value in limits.items()),
                *(f"{copy.binaries}/postgres", "-D", copy.data),
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Failed(f"PostgreSQL could not be started: {done.stderr.strip()}")
        self._until_it_can_be_stopped()

    def _until_it_can_be_stopped(self) -> None:
        """Wait until PostgreSQL handles SIGINT. The first process of a PID namespace gets no signal
        that it has no handler for (pid_namespaces(7)): a stop before would take TimeoutStopSec."""
        show = ["systemctl", "show", "--value", "--property=MainPID", self.copy.unit]
        while True:
            shown = subprocess.run(show, capture_output=True, text=True, check=True)
            try:
                status = Path("/proc", shown.stdout.strip(), "status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                # It has ended; why, its log says.
                return
            if handles(status, signal.SIGINT):
                return
            time.sleep(POLL_S)

    def stop(self) -> None:
        """Stop it in order, if it runs."""
        subprocess.run(["systemctl", "stop", self.copy.unit], capture_output=True, check=False)

    def running(self) -> bool:
        """Whether its unit is there."""
        done = subprocess.run(
            ["systemctl", "is-active", self.copy.unit], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() in ("active", "activating", "deactivating", "reloading")

    def logged(self) -> str:
        """What it logged since it was started last."""
        time.sleep(JOURNAL_SETTLES_S)
        since = ["--since", f"@{self._started:.3f}", "-o", "cat", "-u", self.copy.unit]
        done = subprocess.run(
            ["journalctl", "--no-pager", "-q", *since], capture_output=True, text=True, check=False
        )
        return done.stdout

    def query(self, sql: str, database: str = "postgres") -> str:
        """What psql prints, unaligned. Raises Refused."""
        # Not Debian's wrapper of that name, which takes many times the CPU.
        program, *options = PSQL
        argv = [f"{self.copy.binaries}/{program}", *options]
        done = self.command(argv, database=database, stdin=sql)
        if done.returncode:
            raise Refused(done.stderr.strip())
        return done.stdout.strip()

    def command(
        self, argv: Sequence[str], *, database: str = "postgres", stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a program of PostgreSQL's as the copy's user; it connects to the copy."""
        return subprocess.run(
            self.as_user(argv),
            env=self.environment(database),
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )

    def as_user(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` as the copy's user."""
        return user.argv_as(self.copy.user, argv)

    def environment(self, database: str) -> dict[str, str]:
        """By which libpq finds the copy. Not with -d, which takes a name with = in it for a
        connection string."""
        return {
            **user.environment(self.copy.user),
            # What pg_controldata and others say is read.
            "LC_ALL": "C.UTF-8",
            "PGHOST": self.copy.folder,
            "PGPORT": str(self.copy.port),
            "PGUSER": SUPERUSER,
            "PGDATABASE": database,
            "PGOPTIONS": sessions.OPTIONS,
        }


def handles(status: str, number: signal.Signals) -> bool:
    """Whether the process with this /proc/PID/status has a handler for the signal."""
    mask = re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return mask is not None and bool(int(mask[1], 16) >> (number - 1) & 1)


def systemd_version() -> int:
    """The machine's, as 257."""
    said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=True)
    return int(said.stdout.split()[1])
