"""PostgreSQL and the one file of its configuration that the guard owns."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from host.domain import sessions
from host.domain.disk import sync_directory
from host.domain.processes import APPLICATION_NAME

from . import processes
from .decision import UNSEEN, Look, Server
from .processes import Shown, Wait
from .wire import Connection, WireError

SETTING = f"synchronous_standby_names = '{APPLICATION_NAME}'\n"
ANSWER_TIMEOUT_S = 3.0
RELOAD_TIMEOUT_S = 3.0
# The guard's own statements must never wait for Barman.
OPTIONS = f"-c synchronous_commit=local {sessions.OPTIONS}"

# A session whose commits wait as anybody's do, and how many of its commits are looked at.
ORDINARY = f"{sessions.OPTIONS} -c synchronous_commit=on"
COMMITS = 5
_COMMIT = "SELECT pg_logical_emit_message(true, 'durability-guard', '')"
_CONFIRMED = f"""
SELECT coalesce(bool_or(flush_lsn > '%s'), false) FROM pg_stat_replication
WHERE application_name = '{APPLICATION_NAME}'
"""  # noqa: S608 - a constant
# A wait that is cancelled ends with the commit acknowledged, and a warning.
_CANCEL = """
SELECT pg_cancel_backend(pid) FROM pg_stat_activity
WHERE wait_event = 'SyncRep' AND query_start < clock_timestamp() - interval '1 s'
"""

# A record of its own in WAL, on disk when the function returns: what Barman is to confirm. It has
# no transaction, so it waits for nobody.
_PROBE = "SELECT pg_logical_emit_message(false, 'durability-guard', '', true)"
_LOOK = f"""
SELECT pg_is_in_recovery(), current_setting('synchronous_standby_names') <> '',
  CASE WHEN pg_is_in_recovery() THEN 0 ELSE pg_current_wal_flush_lsn() - '0/0'::pg_lsn END,
  coalesce(receiver.state = 'streaming', false),
  coalesce(receiver.sync_state IN ('sync', 'quorum'), false),
  coalesce(receiver.flush_lsn - '0/0'::pg_lsn, 0),
  (SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep')
FROM (VALUES (1)) AS one LEFT JOIN (
  SELECT state, sync_state, flush_lsn FROM pg_stat_replication
  WHERE application_name = '{APPLICATION_NAME}'
  ORDER BY state = 'streaming' DESC, flush_lsn DESC NULLS LAST LIMIT 1
) AS receiver ON true
"""  # noqa: S608 - a constant


@dataclass(frozen=True)
class Seen:
    """A look, and how many commits were waiting for Barman at that moment."""

    look: Look
    waiting_commits: int = 0
    problem: str = ""


class Postgres:
    """The server on this machine, asked over one lasting session."""

    def __init__(self, socket_path: str, file: Path, marker: Path) -> None:
        self._path = socket_path
        self._file = file
        self._marker = marker
        self._session: Connection | None = None
        # Of a server that is looked at from outside.
        self._shown = Shown()
        self._held: frozenset[Wait] = frozenset()

    def look(self, *, probe: bool) -> Seen:
        """What is to be seen now; never raises. With `probe`, WAL is written first."""
        runbook = self._marker.exists()
        try:
            row = self._asked(probe=probe and not runbook)
        except TimeoutError as error:
            return self._unseen(Server.MUTE, runbook, error)
        except WireError as error:
            server = Server.DOWN if error.on_its_way else Server.BLIND
            return self._unseen(server, runbook, error)
        except OSError as error:
            return self._unseen(Server.DOWN, runbook, error)
        self._shown, self._held = Shown(), frozenset()
        recovering, waits, written, receiver, synchronous, confirmed, commits = row
        found = Look(
            now=time.monotonic(),
            server=Server.IN_RECOVERY if recovering == "t" else Server.UP,
            runbook=runbook,
            waits=waits == "t",
            receiver=receiver == "t",
            synchronous=synchronous == "t",
            written=int(written or 0),
            confirmed=int(confirmed or 0),
        )
        return Seen(found, int(commits or 0))

    def _asked(self, *, probe: bool) -> list[str | None]:
        lasting = self._session is not None
        try:
            return self._row(probe=probe)
        except TimeoutError:
            raise
        except (OSError, WireError):
            # Somebody has ended the session, which is not yet the end of the server.
            self.disconnect()
            if not lasting:
                raise
            return self._row(probe=probe)

    def _row(self, *, probe: bool) -> list[str | None]:
        session = self._connected()
        if probe:
            self._probe(session)
        (row,) = session.query(_LOOK)
        return row

    def _unseen(self, server: Server, runbook: bool, error: Exception) -> Seen:
        """A look from outside, at one that gives no answer."""
        self.disconnect()
        parent = processes.postmaster(self._path) if server in UNSEEN else None
        if parent is None:
            # One that is not there has nothing that could wait.
            return Seen(Look(time.monotonic(), Server.DOWN, runbook), problem=str(error))
        shown = processes.look(parent)
        self._held = shown.waits & self._shown.waits
        self._shown = shown
        found = Look(
            now=time.monotonic(),
            server=server,
            runbook=runbook,
            # What it does is not known; what it was told is.
            waits=self.enabled(),
            receiver=shown.receiver,
            held=bool(self._held),
        )
        return Seen(found, len(shown.waits), str(error))

    def enabled(self) -> bool:
        """Whether the file tells PostgreSQL to wait; a file that is not there does not."""
        try:
            return APPLICATION_NAME in self._file.read_text()
        except FileNotFoundError:
            return False

    def enable(self) -> bool:
        """Make commits wait. False, with everything as before, if the server does not take it."""
        new = self._file.with_name(f".{self._file.name}.new")
        with new.open("w") as stream:
            stream.write(SETTING)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(self._file)
        sync_directory(self._file.parent)
        if self._reloaded(waits=True) and self._commits_wait():
            return True
        self.disable()
        return False

    def disable(self) -> bool:
        """Let commits go without Barman. Needs no space on any disk: the file is emptied.

        False if a server that runs goes on waiting.
        """
        try:
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o644)
        except OSError:
            return False
        try:
            os.ftruncate(descriptor, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return self._reloaded(waits=False)

    def reload(self) -> None:
        """Have the configuration read again; never fails."""
        try:
            self._connected().query("SELECT pg_reload_conf()")
        except (OSError, WireError):
            self._reload_from_outside()

    def cancel_waits(self) -> None:
        """End waits that an empty setting has not ended; never fails."""
        try:
            self._connected().query(_CANCEL)
        except (OSError, WireError):
            self.disconnect()
            processes.cancel(self._held)

    def disconnect(self) -> None:
        """End the session, if there is one."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _connected(self) -> Connection:
        if self._session is None:
            self._session = Connection(self._path, "postgres", OPTIONS, ANSWER_TIMEOUT_S)
        return self._session

    def _probe(self, session: Connection) -> None:
        (row,) = session.query("SELECT pg_is_in_recovery()")
        if row == ["f"]:
            session.query(_PROBE)

    def _reloaded(self, *, waits: bool) -> bool:
        """Have the configuration read again; whether the server then waits as configured."""
        try:
            session = self._connected()
            session.query("SELECT pg_reload_conf()")
            deadline = time.monotonic() + RELOAD_TIMEOUT_S
            while time.monotonic() < deadline:
                setting = session.query("SHOW synchronous_standby_names")[0][0]
                if bool(setting) == waits:
                    return True
                time.sleep(0.05)
        except (OSError, WireError):
            # One that runs hears it; one that does not reads the file when it starts.
            self._reload_from_outside()
            return not waits
        return False

    def _reload_from_outside(self) -> None:
        self.disconnect()
        parent = processes.postmaster(self._path)
        if parent is not None:
            processes.reload(parent)

    def _commits_wait(self) -> bool:
        """Whether commits of other sessions wait. They learn whether they have to from the
        checkpointer (syncrep.c), not from the setting that each can see: so what a commit waited
        for must be on Barman's disk when it returns."""
        try:
            with Connection(self._path, "postgres", ORDINARY, ANSWER_TIMEOUT_S) as session:
                for _ in range(COMMITS):
                    position = session.query(_COMMIT)[0][0]
                    if session.query(_CONFIRMED % position) != [["t"]]:
                        return False
        except TimeoutError:
            # It does, for a Barman that has just gone.
            return True
        except (OSError, WireError):
            return False
        return True
