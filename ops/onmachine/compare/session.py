"""A connection that stays open: one psql, which is sent statements and answers in JSON."""

import json
import secrets
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from host.domain import sessions
from host.domain.quoting import conninfo_value, sql_literal
from host.restored_copy import user

T = TypeVar("T")

# By these, text is the same for the same value, whatever is set for a server, a database or a
# role; and nothing ends the session. What a server is too old for is not set there.
_SETTINGS = {
    **sessions.SETTINGS,
    "transaction_timeout": "0",
    "lock_timeout": "5min",
    "default_transaction_read_only": "on",
    "client_min_messages": "error",
    "search_path": "",
    "row_security": "off",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "lc_monetary": "C",
    "xmlbinary": "base64",
    "quote_all_identifiers": "off",
}
_VALUES = ", ".join(f"('{name}', {sql_literal(value)})" for name, value in _SETTINGS.items())
_PRELUDE = f"""
SET ROLE NONE;
SELECT json_build_array(count(set_config(w.name, w.value, false)))
FROM (VALUES {_VALUES}) w(name, value)
JOIN pg_catalog.pg_settings s ON lower(s.name) = lower(w.name)
"""  # noqa: S608 - constants
# A peer that is gone is noticed, however long a statement may take.
_KEEPALIVES = "keepalives_idle=60 keepalives_interval=10 keepalives_count=6"


class Refused(Exception):
    """A statement or a connection that was refused, in PostgreSQL's words."""


@dataclass(frozen=True)
class Place:
    """A server, and how this machine's programs reach it.

    `conninfo` is libpq's, without a password; `binaries` is the folder of the client programs;
    `account` is the user of the machine that they run as.
    """

    conninfo: str
    binaries: str
    account: str

    def run(self, program: str, *options: str) -> str:
        """What one of PostgreSQL's programs prints. Raises Refused."""
        done = subprocess.run(
            self.argv(program, *options),
            env=self.environment(),
            cwd="/",
            capture_output=True,
            check=False,
        )
        # Not as text, in which a line's end is one whatever it was.
        stdout, stderr = (
            each.decode(errors="backslashreplace") for each in (done.stdout, done.stderr)
        )
        if done.returncode:
            raise Refused(stderr.strip())
        return stdout

    def argv(self, program: str, *options: str) -> list[str]:
        """The command that runs it."""
        return user.argv_as(self.account, [f"{self.binaries}/{program}", *options])

    def environment(self) -> dict[str, str]:
        """As whoever runs it finds it. What the connection string says of options goes first."""
        return {
            **user.environment(self.account),
            "PGOPTIONS": sessions.OPTIONS,
            "PGCLIENTENCODING": "UTF8",
            "LC_ALL": "C.UTF-8",
        }

    def database(self, name: str) -> str:
        """The connection string for one database."""
        return f"{self.conninfo} {_KEEPALIVES} dbname={conninfo_value(name)}"


class Session:
    """psql in one database of a server. Raises Refused when it is asked, never when it is made."""

    def __init__(self, place: Place, database: str) -> None:
        self._mark = secrets.token_hex(16)
        # Not a pipe, which somebody would have to empty.
        self._complaints = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115 - see close
        self._process = subprocess.Popen(
            place.argv("psql", "-X", "-w", "-A", "-t", "-q", "-d", place.database(database)),
            env=place.environment(),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._ready = False

    def ask(self, sql: str) -> list[Any]:
        """The rows of one statement, each of which is one JSON value. Raises Refused."""
        if not self._ready:
            self._send(_PRELUDE)
            self._ready = True
        return self._send(sql)

    def _send(self, sql: str) -> list[Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise Refused("psql has no pipes")
        try:
            stdin.write(f"{sql};\n\\echo {self._mark} :ERROR :SQLSTATE\n")
            stdin.write(f"\\echo :LAST_ERROR_MESSAGE\n\\echo {self._mark}\n")
            stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None
        rows: list[Any] = []
        for line in stdout:
            if not line.startswith(self._mark):
                rows.append(line)
                continue
            failed = line.split()[1] == "true"
            said: list[str] = []
            for more in stdout:
                if more.startswith(self._mark):
                    break
                said.append(more)
            if failed:
                raise Refused("".join(said).strip())
            return [json.loads(row) for row in rows]
        raise self._gone()

    def _gone(self) -> Refused:
        self._process.wait()
        self._complaints.seek(0)
        said = self._complaints.read().strip()
        return Refused(said or "the connection was lost")

    def close(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()
        self._complaints.close()


class Both(NamedTuple, Generic[T]):
    """The same of the source and of this server."""

    source: T
    here: T


class Pair:
    """A session in the database of the same name on each side; both are asked at the same time."""

    def __init__(self, places: Both[Place], database: str) -> None:
        self.sessions: Sequence[Session] = [Session(place, database) for place in places]
        self._threads = ThreadPoolExecutor(2)

    def ask(self, sql: str) -> Both[list[Any]]:
        """The rows of one statement on each side. Raises Refused, which says on which side."""
        asked = [self._threads.submit(session.ask, sql) for session in self.sessions]
        found, refused = [], []
        for side, answer in zip(("at the source", "here"), asked, strict=True):
            try:
                found.append(answer.result())
            except Refused as error:
                refused.append(f"{side}: {error}")
        if refused:
            raise Refused("; ".join(refused))
        return Both(*found)

    def close(self) -> None:
        """End both."""
        self._threads.shutdown()
        for session in self.sessions:
            session.close()
