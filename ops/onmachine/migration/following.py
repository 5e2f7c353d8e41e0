# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""How far this server is behind a source that it follows."""

import json
from typing import Any

from host.domain.quoting import sql_literal
from ops.onmachine.migration import shapes, subscription
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.sessions import NAME, Failed


def main(documents: list[dict[str, Any]]) -> None:
    print(json.dumps([look(Job(**each)) for each in documents]))


def look(job: Job) -> dict[str, Any]:
    """One database, as ops.migrate.model.Following has it."""
    found: dict[str, Any] = {"database": job.database, "error": None, "changed": []}
    try:
        if subscription.recovered(job):
            raise Failed("this server was recovered, and may lack what it had confirmed")
        found |= job.here.value(_HERE)
        found |= job.there.value(_there(job.slot))
        found["changed"] = shapes.changed(job.there, job.folder, job.schemas)
    except (Failed, OSError) as failed:
        found["error"] = str(failed)
    return found


# A worker that fails starts again and again: it is there for moments only.
_HERE = f"""
SELECT json_build_object(
  'enabled', (SELECT subenabled FROM pg_subscription WHERE subname = '{NAME}'
    AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())),
  'running', (SELECT count(*) > 0 FROM pg_stat_subscription
    WHERE subname = '{NAME}' AND pid IS NOT NULL),
  'failures', (SELECT coalesce(max(apply_error_count), 0) FROM pg_stat_subscription_stats
    WHERE subname = '{NAME}'),
  'heard_s', (SELECT extract(epoch FROM clock_timestamp() - max(latest_end_time))::float
    FROM pg_stat_subscription WHERE subname = '{NAME}')
)
"""


def _there(slot: str) -> str:
    return f"""
SELECT coalesce((SELECT json_build_object(
    'slot', 'there', 'active', active,
    'wal_status', to_jsonb(s) ->> 'wal_status',
    'safe_wal_bytes', (to_jsonb(s) ->> 'safe_wal_size')::bigint,
    'lag_bytes', pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint,
    'retained_bytes', pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint)
  FROM pg_replication_slots s WHERE slot_name = {sql_literal(slot)}),
  json_build_object('slot', 'gone'))
"""
