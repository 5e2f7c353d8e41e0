# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""What the programs of a move share on the PostgreSQL machine: both servers, asked through psql."""

import json
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.domain import sessions
from host.domain.quoting import conninfo_value, sql_literal

FOLDER = "/data/migration"
PASSFILE = f"{FOLDER}/passfile"
# Of what a move makes: a schema here, a publication there; slots and subscriptions begin so.
NAME = "ops_migrate"
# Of what keeps the way back after a cutover: a publication and slots here, a schema at the source.
BACK = f"{NAME}_back"
BACK_UNIT = "migration-back"
# Names with their schemas, values as every version writes them, and nothing that is set for a
# database or a role. As old as PostgreSQL 11, all of them.
SESSION = """\
SET search_path = pg_catalog;
SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET row_security = off;
SET client_encoding = 'UTF8';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET TimeZone = 'UTC';
SET extra_float_digits = 3;
SET bytea_output = 'hex';
"""
# A database that is closed reads only; the sessions of a move may write there.
WRITE = "SET default_transaction_read_only = off;\n"
PSQL = ("psql", "-X", "-w", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1")


class Failed(Exception):
    """What ends a program of a move, in words for the operator."""


@dataclass(frozen=True)
class Server:
    """One of the two servers: `conninfo` is libpq's connection string for one of its databases,
    without a password."""

    conninfo: str

    def run(self, words: Sequence[str], stdin: str = "") -> "subprocess.CompletedProcess[str]":
        """Run a PostgreSQL client program as the postgres user."""
        return subprocess.run(as_postgres(words), input=stdin, text=True, capture_output=True)

    def ask(self, sql: str) -> str:
        """What psql prints for `sql`. Raises Failed."""
        done = self.run([*PSQL, "-d", self.conninfo], SESSION + sql)
        if done.returncode:
            raise Failed(said(done.stderr))
        return done.stdout.strip()

    def output(self, words: Sequence[str]) -> str:
        """What a client program prints. Raises Failed."""
        done = self.run(words)
        if done.returncode:
            raise Failed(said(done.stderr))
        return done.stdout

    def value(self, sql: str) -> Any:
        """The one JSON value that `sql` gives. Raises Failed."""
        return json.loads(self.ask(sql))


def report(work: Callable[[], dict[str, Any]]) -> None:
    """Print what a program of a move has done, or {failed: why}, as one JSON object."""
    try:
        said = work()
    except Failed as failed:
        said = {"failed": str(failed)}
    print(json.dumps(said))


def prepared(server: Server) -> str:
    """Transactions that are prepared in the database, by name; they would be left behind. Raises
    Failed."""
    return server.ask(
        "SELECT coalesce(string_agg(gid, ', '), '') FROM pg_prepared_xacts "
        "WHERE database = current_database()"
    )


def for_tables(names: Sequence[str]) -> str:
    """Of CREATE PUBLICATION: these tables, as SQL writes them; without their partitions."""
    return f" FOR TABLE ONLY {', ONLY '.join(names)}" if names else ""


def as_postgres(words: Sequence[str]) -> list[str]:
    """The command that runs a client program as the postgres user. Our own options of a session go
    with what is ours alone: a pooler or a managed service may refuse them."""
    environment = [f"PGPASSFILE={PASSFILE}", "PGAPPNAME=ops migrate"]
    return ["runuser", "-u", "postgres", "--", "env", "-C", "/", *environment, *words]


def here(database: str) -> Server:
    """A database of this machine's server, as its superuser. Commits do not wait for Barman: what
    a move has loaded is not called done before a full backup has it."""
    options = f"{sessions.OPTIONS} -c synchronous_commit=off -c event_triggers=off"
    values = {"host": "/run/postgresql", "dbname": database, "options": options}
    return Server(" ".join(f"{name}={conninfo_value(value)}" for name, value in values.items()))


def flush(here: Server) -> None:
    """Have everything that was committed here on this machine's disk. Raises Failed."""
    here.ask("SET synchronous_commit = local; SELECT txid_current()")


def said(stderr: str) -> str:
    """PostgreSQL's words out of psql's, in one line."""
    lines = [line.partition("psql: ")[2] or line for line in stderr.strip().splitlines()]
    return " ".join(" ".join(lines).split())[-1500:]


def folder(database: str) -> Path:
    """For the files of one database's move; its name may have a slash in it."""
    return Path(FOLDER, database.encode().hex()[:200])


# In SQL, of a relation c: no extension has made it.
NO_MEMBER = """NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
  AND d.objid = c.oid AND d.deptype = 'e')"""


def not_of(schemas: Iterable[str]) -> str:
    """In SQL: the schema is not PostgreSQL's own nor one of these."""
    listed = "".join(f", {sql_literal(name)}" for name in schemas)
    return f"nspname !~ '^pg_' AND nspname NOT IN ('information_schema'{listed})"


def names(listed: Iterable[str]) -> str:
    """In SQL: an array of these names."""
    return f"ARRAY[{', '.join(map(sql_literal, listed))}]::name[]"


# Nothing of anybody's is in the database.
EMPTY = f"""
SELECT NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE {not_of(())} AND {NO_MEMBER})
"""
