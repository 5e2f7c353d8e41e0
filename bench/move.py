"""How fast `ops migrate copy` copies, beside what one would type by hand: pg_dump and pg_restore in
parallel, and pgcopydb.

The source is a second cluster on the PostgreSQL machine, so that nothing but the copying is
measured; every way has the same number of sessions, and none waits for Barman. Works on a stack of
its own that it stands up and removes.
"""

import re
import statistics
import time
from pathlib import Path

from bench.restore import POSTGRES, lab, on, ops, passfile

ROUNDS = 3
# About 2.2 GB with indexes: accounts as pgbench makes them, documents, rows that do not compress.
FILL = """
CREATE TABLE documents (id int PRIMARY KEY, body jsonb NOT NULL, at timestamptz NOT NULL);
INSERT INTO documents SELECT i, jsonb_build_object('name', md5(i::text), 'tags',
  jsonb_build_array(i % 7, md5((i % 1000)::text)), 'note', repeat(md5((i * 7)::text), 6)),
  timestamptz '2026-01-01' + i * interval '1 s' FROM generate_series(1, 1000000) AS i;
CREATE INDEX ON documents (at);
CREATE INDEX ON documents ((body ->> 'name'));
CREATE TABLE noise (payload bytea);
ALTER TABLE noise ALTER payload SET STORAGE EXTERNAL;
INSERT INTO noise SELECT decode(string_agg(md5(random()::text), ''), 'hex')
  FROM generate_series(1, 300000) AS i GROUP BY i / 60;
CREATE INDEX ON pgbench_accounts (bid, abalance);
"""
SCALE, PORT = "60", "5433"
# A report from the field, with pg_dump onto a machine of the defaults' size.
FIELD_REPORT_S_PER_GB = (300, 600)
_SOURCE = f"host=127.0.0.1 port={PORT} user=mover dbname=moved sslmode=disable"
_PASSWORD = "bench"  # noqa: S105 - of a server that lives for the length of a measurement
_LINE = f"*:*:*:*:{_PASSWORD}"
_PASSFILE, _DUMP = "/var/lib/postgresql/bench.pgpass", "/data/bench"
_STEP = re.compile(r"([\d.]+) s  Copy moved")
Row = tuple[str, float]


def measure(checkout: Path) -> tuple[str, list[Row]]:
    """A title, and rows of what was measured with its seconds. Raises CalledProcessError."""
    try:
        lab(checkout, "up")
        gigabytes = source(checkout)
        sessions = max(2, int(on(checkout, POSTGRES, "nproc")))
        ways = {
            "ops migrate copy: its step that copies": lambda: ours(checkout),
            "pg_dump | pg_restore, by hand": lambda: by_hand(checkout, sessions),
            "pgcopydb clone": lambda: pgcopydb(checkout, sessions),
        }
        # In turn, so that what else the computer does falls on all of them.
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(ROUNDS):
            for name, way in ways.items():
                taken[name].append(way())
    finally:
        lab(checkout, "down", "--yes-delete-data")
    rows = [(name, statistics.median(seconds)) for name, seconds in taken.items()]
    best = min(seconds for _, seconds in rows[1:])
    low, high = FIELD_REPORT_S_PER_GB
    title = (
        f"Copying {gigabytes:.2f} GB, median of {ROUNDS}: {rows[0][1] / gigabytes:.1f} s/GB, "
        f"{rows[0][1] / best:.2f} of the quicker of the others' time; the field report "
        f"{low}-{high} s/GB"
    )
    return title, rows


def source(checkout: Path) -> float:
    """The second cluster with its data; its size in GB."""
    on(checkout, POSTGRES, "pg_createcluster", "17", "source", "--port", PORT, "--start")
    on(checkout, POSTGRES, "apt-get", "install", "-qy", "pgcopydb", "postgresql-contrib")
    create = f"CREATE ROLE mover LOGIN SUPERUSER PASSWORD '{_PASSWORD}'"
    there(checkout, "psql", "-qX", "-c", create, "-c", "CREATE DATABASE moved")
    there(checkout, "pgbench", "-i", "-q", "-s", SCALE, "moved")
    there(checkout, "psql", "-qX", "-d", "moved", "-c", FILL)
    there(checkout, "psql", "-qX", "-d", "moved", "-c", "VACUUM ANALYZE", "-c", "CHECKPOINT")
    passfile(checkout, _PASSFILE, _LINE)
    size = there(checkout, "psql", "-AtX", "-c", "SELECT pg_database_size('moved')")
    return int(size) / 1e9


def ours(checkout: Path) -> float:
    """Seconds of the step that copies, sequences and statistics included."""
    own = checkout / "bench.pgpass"
    own.write_text(f"{_LINE}\n")
    own.chmod(0o600)
    done = ops(checkout, "migrate", "copy", _SOURCE, "--passfile", str(own), "--yes")
    found = _STEP.search(done)
    drop(checkout)
    if found is None:
        raise ValueError(done)
    return float(found[1])


def by_hand(checkout: Path, sessions: int) -> float:
    """The same by a dump into a directory, as pg_restore wants it for work in parallel."""
    on(checkout, POSTGRES, "install", "-d", "-o", "postgres", _DUMP)
    jobs = f"--jobs={sessions}"
    begin = time.monotonic()
    here(checkout, "createdb", "moved")
    target = f"--file={_DUMP}/moved"
    here(checkout, "pg_dump", "--format=directory", "--compress=0", jobs, target, _SOURCE)
    here(checkout, "pg_restore", jobs, "--dbname=moved", f"{_DUMP}/moved")
    here(checkout, "vacuumdb", "--quiet", "--analyze-only", jobs, "moved")
    seconds = time.monotonic() - begin
    on(checkout, POSTGRES, "rm", "-rf", _DUMP)
    drop(checkout)
    return seconds


def pgcopydb(checkout: Path, sessions: int) -> float:
    """The same by pgcopydb, large tables in parts like ours."""
    jobs = [f"--table-jobs={sessions}", f"--index-jobs={sessions}"]
    both = ["--source", _SOURCE, "--target", "host=/run/postgresql dbname=moved"]
    begin = time.monotonic()
    here(checkout, "createdb", "moved")
    options = [*jobs, "--split-tables-larger-than=1GB", "--dir=/tmp/pgcopydb", "--restart"]
    here(checkout, "pgcopydb", "clone", *options, *both)
    seconds = time.monotonic() - begin
    drop(checkout)
    return seconds


def drop(checkout: Path) -> None:
    """For the next way, from the same beginning."""
    statements = ("DROP DATABASE moved", "DROP ROLE IF EXISTS mover", "CHECKPOINT")
    here(checkout, "psql", "-qX", *(word for each in statements for word in ("-c", each)))


def here(checkout: Path, *words: str) -> str:
    """A client program beside the stack's server, whose commits do not wait for Barman."""
    options = "PGOPTIONS=-c synchronous_commit=off"
    return _client(checkout, [f"PGPASSFILE={_PASSFILE}", options], words)


def there(checkout: Path, *words: str) -> str:
    """The same beside the source."""
    return _client(checkout, [f"PGPORT={PORT}"], words)


def _client(checkout: Path, environment: list[str], words: tuple[str, ...]) -> str:
    user = ["runuser", "-u", "postgres", "--", "env", *environment]
    return on(checkout, POSTGRES, *user, *words).strip()
