"""How fast `ops migrate copy` copies, beside what one would type by hand: pg_dump and pg_restore in
parallel, and pgcopydb.

The source is a second cluster on the PostgreSQL machine, so that nothing but the copying is
measured; every way has the same number of sessions, and none waits for Barman. Works on a stack of
its own that it stands up and removes.
"""

import re
import statistics
import subprocess
import time
from pathlib import Path

from bench.restore import POSTGRES, lab, on

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
SCALE = 60
# A report from the field, with pg_dump onto a machine of the defaults' size.
FIELD_REPORT_S_PER_GB = (300, 600)
_SOURCE = "host=127.0.0.1 port=5433 user=mover dbname=moved sslmode=disable"
_PASSWORD = "bench"  # noqa: S105 - of a server that lives for the length of a measurement
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
    shell(checkout, "pg_createcluster 17 source --port 5433 --start >/dev/null")
    shell(checkout, "apt-get install -qy pgcopydb postgresql-contrib >/dev/null 2>&1 || true")
    create = f"CREATE ROLE mover LOGIN SUPERUSER PASSWORD '{_PASSWORD}'; CREATE DATABASE moved"
    for statement in create.split("; "):
        shell(checkout, f'{_AS} psql -qX -p 5433 -c "{statement}"')
    shell(checkout, f"{_AS} pgbench -i -q -s {SCALE} -p 5433 moved 2>/dev/null")
    lab_stdin(checkout, f"{_AS} psql -qX -p 5433 -d moved", FILL)
    shell(checkout, f'{_AS} psql -qX -p 5433 -d moved -c "VACUUM ANALYZE" -c CHECKPOINT')
    shell(checkout, f"install -o postgres -m 600 /dev/null {_PASSFILE}")
    shell(checkout, f"echo '*:*:*:*:{_PASSWORD}' >{_PASSFILE}")
    size = shell(checkout, f"{_AS} psql -AtX -p 5433 -c \"SELECT pg_database_size('moved')\"")
    return int(size) / 1e9


_AS = "cd /; runuser -u postgres --"
_PASSFILE = "/var/lib/postgresql/bench.pgpass"


def ours(checkout: Path) -> float:
    """Seconds of the step that copies, sequences and statistics included."""
    passfile = checkout / "bench.pgpass"
    passfile.write_text(f"*:*:*:*:{_PASSWORD}\n")
    passfile.chmod(0o600)
    words = ["migrate", "copy", _SOURCE, "--passfile", str(passfile), "--yes"]
    done = subprocess.run(
        [".venv/bin/python", "-m", "ops", *words],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    found = _STEP.search(done.stdout)
    drop(checkout)
    if found is None:
        raise ValueError(done.stdout)
    return float(found[1])


def by_hand(checkout: Path, sessions: int) -> float:
    """The same by a dump into a directory, as pg_restore wants it for work in parallel."""
    begin = time.monotonic()
    shell(checkout, f"{_AS} createdb moved")
    dump = f"pg_dump -Fd -Z0 -j {sessions} -f /data/bench.dump '{_SOURCE}'"
    shell(checkout, f"install -d -o postgres /data; chmod o+x /data; {_READ} {dump}")
    shell(checkout, f"{_WRITE} pg_restore -j {sessions} -d moved /data/bench.dump")
    shell(checkout, f"{_WRITE} vacuumdb -qZ -j {sessions} moved")
    seconds = time.monotonic() - begin
    shell(checkout, "rm -rf /data/bench.dump")
    drop(checkout)
    return seconds


def pgcopydb(checkout: Path, sessions: int) -> float:
    """The same by pgcopydb, at its own best."""
    begin = time.monotonic()
    shell(checkout, f"{_AS} createdb moved")
    jobs = f"--table-jobs {sessions} --index-jobs {sessions} --split-tables-larger-than 1GB"
    both = f"--source '{_SOURCE}' --target 'host=/run/postgresql dbname=moved'"
    shell(checkout, f"{_WRITE} pgcopydb clone {jobs} {both} --dir /tmp/pgcopydb --restart 2>&1")
    seconds = time.monotonic() - begin
    drop(checkout)
    return seconds


_READ = f"{_AS} env PGPASSFILE={_PASSFILE}"
_WRITE = f"{_READ} PGOPTIONS='-c synchronous_commit=off'"


def drop(checkout: Path) -> None:
    """For the next way, from the same beginning."""
    shell(checkout, f'{_AS} psql -qX -c "DROP DATABASE moved" -c "DROP ROLE IF EXISTS mover"')
    shell(checkout, f"{_AS} psql -qX -c CHECKPOINT")


def shell(checkout: Path, command: str) -> str:
    return on(checkout, POSTGRES, "sh", "-ec", command).strip()


def lab_stdin(checkout: Path, command: str, text: str) -> None:
    """The same with standard input."""
    words = ["lab", "enter", "--", POSTGRES, "sh", "-ec", command]
    subprocess.run(
        [".venv/bin/python", "-m", *words], cwd=checkout, input=text, text=True, check=True
    )
