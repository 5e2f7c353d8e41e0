# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""The way back after a cutover, as it is at both servers: here a publication and a slot, which
retains what is written from the cutover on; at the source the position up to which that is there.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from host.domain.quoting import sql_literal
from ops.onmachine.migration import followed, sessions, shapes, slot, subscription
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.sessions import BACK, BACK_UNIT, WRITE, Failed

POSITION = f"{BACK}.position"
RECOVERED = "this server was recovered, and may lack what is at the source already"


def main(action: str, documents: list[dict[str, Any]]) -> None:
    """Of these jobs (Job's documents): whether a way back is `possible`, how far it is (`look`), or
    `remove` it; `forget` it where the source may be gone."""
    sessions.report(lambda: _act(action, [Job(**each) for each in documents]))


def _act(action: str, jobs: list[Job]) -> dict[str, Any]:
    if action == "possible":
        return {"databases": [obstacles(job) for job in jobs]}
    if action == "look":
        return {"databases": [look(job) for job in jobs]}
    return {"left_there": _removed(jobs, action == "forget")}


def name(job: Job) -> str:
    """Of the slot here."""
    return f"{BACK}{job.slot.removeprefix(sessions.NAME)}"


def obstacles(job: Job) -> dict[str, Any]:
    """What could speak against a way back. Raises Failed."""
    found = job.here.value(_HERE.format(_names(followed.publish(job))))
    found["database"] = job.database
    found["refused"] = ""
    try:
        job.there.ask("SET session_replication_role = replica")
    except Failed as failed:
        found["refused"] = str(failed)
    return found


# Our own of an earlier attempt is not counted.
_HERE = f"""
SELECT json_build_object(
  'wal_level', current_setting('wal_level'),
  'free_slots', current_setting('max_replication_slots')::int - (SELECT count(*)
    FROM pg_replication_slots WHERE slot_name NOT LIKE '{BACK}\\_%'),
  'open', (SELECT coalesce(json_agg(what), '[]') FROM (
    SELECT format('the prepared transaction %L in %s', gid, database) AS what FROM pg_prepared_xacts
    UNION ALL
    SELECT format('the transaction of process %s in %s', pid, datname) FROM pg_stat_activity
    WHERE backend_xid IS NOT NULL AND xact_start < clock_timestamp() - interval '10 s') o),
  'keyless', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM (
    SELECT format('%I.%I', nspname, relname) AS name, c.* FROM pg_class c
    JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r') t
    WHERE name = ANY ({{0}}) AND (relreplident = 'n' OR relreplident = 'd' AND NOT EXISTS (
      SELECT FROM pg_index WHERE indrelid = t.oid AND indisprimary)))
)
"""


def _names(names: Sequence[str]) -> str:
    return f"ARRAY[{', '.join(map(sql_literal, names))}]::text[]"


def prepare(job: Job, timeout_s: float) -> None:
    """Before the source is closed: from here on changes are retained. A slot begins when every
    transaction that writes here has ended, which writes would have to wait for. Raises Failed."""
    listed = sessions.for_tables(followed.publish(job))
    job.here.ask(f"CREATE PUBLICATION {BACK}{listed}")
    try:
        job.here.ask(
            f"SET statement_timeout = '{timeout_s} s';\n"
            f"SELECT pg_create_logical_replication_slot({sql_literal(name(job))}, 'pgoutput')"
        )
    except Failed as failed:
        raise Failed(
            f"no slot could be made here in {timeout_s} s; a transaction that is open, in whatever "
            f"database, keeps one from beginning: {failed}"
        ) from None


def begin(job: Job) -> None:
    """When all that the source has written is here, and before anything else can be: what is
    committed from here on goes back, and nothing before. Raises Failed."""
    start = job.here.ask("SELECT pg_current_wal_flush_lsn() - 1")
    job.there.ask(
        f"{WRITE}BEGIN;\nDROP SCHEMA IF EXISTS {BACK} CASCADE;\nCREATE SCHEMA {BACK};\n"
        f"CREATE TABLE {POSITION} (lsn pg_lsn PRIMARY KEY);\n"
        f"INSERT INTO {POSITION} VALUES ({sql_literal(start)});\nCOMMIT;"
    )
    shapes.keep(job.here, _shapes(job), job.schemas)


def _shapes(job: Job) -> Path:
    """For the shapes of the tables here, which were those of the source at the cutover."""
    folder = job.folder / "here"
    folder.mkdir(exist_ok=True)
    return folder


def remove(job: Job) -> None:
    """As it was without a way back, at both servers. Raises Failed."""
    remove_here(job)
    job.there.ask(f"{WRITE}DROP SCHEMA IF EXISTS {BACK} CASCADE")


def remove_here(job: Job) -> None:
    """No slot and no publication of it; the database may be gone. Raises Failed."""
    door = sessions.here("postgres")
    slot.drop(door, name(job))
    there = f"SELECT count(*) FROM pg_database WHERE datname = {sql_literal(job.database)}"
    if door.ask(there) != "0":
        job.here.ask(f"DROP PUBLICATION IF EXISTS {BACK}")


def _removed(jobs: list[Job], may_be_gone: bool) -> list[str]:
    """Remove all of them; what could not be at a source that may be gone, and why."""
    left = []
    for job in jobs:
        remove_here(job)
    for job in jobs:
        try:
            job.there.ask(f"{WRITE}DROP SCHEMA IF EXISTS {BACK} CASCADE")
        except Failed as failed:
            if not may_be_gone:
                raise
            left.append(f"{job.database}: {failed}")
    return left


def left_out(job: Job) -> list[str]:
    """Tables here whose changes do not go back: what could not be followed, and what is new. Raises
    Failed."""
    return job.here.value(f"""
SELECT coalesce(json_agg(format('%I.%I', nspname, relname) ORDER BY nspname, relname), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND relpersistence <> 't'
  AND {sessions.not_of((*job.schemas, sessions.NAME))} AND {sessions.NO_MEMBER}
  AND NOT EXISTS (SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = prpubid
    WHERE prrelid = c.oid AND pubname = '{BACK}')
""")


def kept_error(job: Job) -> Path:
    """The file in which whatever keeps changes from going back stands, while something does."""
    return job.folder / "back-error"


def look(job: Job) -> dict[str, Any]:
    """One database, as ops.migrate.model.WayBack has it."""
    found: dict[str, Any] = {"database": job.database, "error": None, "changed": [], "left": []}
    try:
        if subscription.recovered(job):
            raise Failed(RECOVERED)
        found |= job.here.value(_slot(name(job)))
        found["changed"] = shapes.changed(job.here, _shapes(job), job.schemas)
        found["left"] = left_out(job)
        if job.here.ask("SELECT count(*) FROM pg_largeobject_metadata") != "0":
            found["left"].append("large objects")
        active = subprocess.run(["systemctl", "is-active", "--quiet", BACK_UNIT])
        found["active"] = active.returncode == 0
        if kept_error(job).exists():
            found["error"] = kept_error(job).read_text()
    except (Failed, OSError) as failed:
        found["error"] = str(failed)
    return found


def _slot(slot_name: str) -> str:
    return f"""
SELECT coalesce((SELECT json_build_object(
    'slot', 'there', 'wal_status', wal_status, 'safe_wal_bytes', safe_wal_size,
    'lag_bytes', pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
    'retained_bytes', pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint)
  FROM pg_replication_slots WHERE slot_name = {sql_literal(slot_name)}),
  json_build_object('slot', 'gone'))
"""
