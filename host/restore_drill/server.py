"""The restored server: replays, answers on a private socket, is stopped."""

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from host.domain import server_log
from host.domain.paths import BARMAN_GET_WAL
from host.domain.wal_store import restore_command

from . import decision
from .machine import Failed, stop, tail

SUPERUSER = "postgres"


class Server:
    """A PostgreSQL of major `version` on the data in `folder`/data, run by the barman user."""

    def __init__(self, folder: Path, version: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.binaries = Path(f"/usr/lib/postgresql/{version}/bin")
        self.log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def target(self) -> list[str]:
        """Options by which PostgreSQL's programs connect."""
        return ["-h", str(self.folder), "-U", SUPERUSER]

    def configure(self, server: str, until: str) -> None:
        """Write the configuration for a replay up to the moment `until`."""
        control = subprocess.run(
            [str(self.binaries / "pg_controldata"), "-D", str(self.data)],
            capture_output=True,
            text=True,
            check=False,
        )
        if control.returncode:
            raise Failed(f"what was restored is not a cluster: {control.stderr.strip()}")
        fetch = restore_command(f'{BARMAN_GET_WAL} --partial {server} "%f" >"%p"')
        values = decision.settings(control.stdout, fetch, until, str(self.folder))
        (self.folder / "postgresql.conf").write_text(decision.render(values))
        (self.folder / "pg_hba.conf").write_text("local all all peer map=drill\n")
        (self.folder / "pg_ident.conf").write_text(f"drill barman {SUPERUSER}\n")
        # It would win over the file above.
        (self.data / "postgresql.auto.conf").write_text("")
        (self.data / "standby.signal").unlink(missing_ok=True)
        (self.data / "recovery.signal").touch()

    def start(self, watch: Callable[[], None]) -> None:
        """Start, and wait until the replay has ended and connections are accepted."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(self.binaries / "postgres"),
                    "-D",
                    str(self.data),
                    "-c",
                    f"config_file={self.folder}/postgresql.conf",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
            )
        while True:
            watch()
            if self._process.poll() is not None:
                raise Failed(f"PostgreSQL stopped while replaying: {self._complaint()}")
            done = self._psql("SELECT pg_is_in_recovery()", "postgres")
            if done.stdout.strip() == "f":
                return
            time.sleep(0.5)

    def query(self, sql: str, database: str) -> str:
        """What psql prints, unaligned. Raises Failed with PostgreSQL's complaint."""
        done = self._psql(sql, database)
        if done.returncode:
            raise Failed(f"{database}: {done.stderr.strip()[-500:]}")
        return done.stdout.strip()

    def stop(self) -> None:
        """Stop it, if it runs."""
        if self._process is not None:
            stop(self._process, signal.SIGINT)

    def _psql(self, sql: str, database: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", *self.target, "-d", database],
            input=sql,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )

    def _complaint(self) -> str:
        return server_log.reason(tail(self.log, 4000))[-600:]
