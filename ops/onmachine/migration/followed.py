# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""Which of a source's tables are followed, and which come at the cutover: decided when following
begins, for between the plan and that there may be new ones."""

import json
from collections.abc import Iterable
from typing import Any

from ops.onmachine.migration import sessions
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.rows import Table

_FILE = "tables.json"


def decide(job: Job) -> None:
    """Write them down as the source has them now, for `publish` and `later`. Rows that an
    extension keeps for the user are few, and nobody publishes them. Raises sessions.Failed."""
    found = job.there.value(f"""
WITH found AS (
  SELECT format('%I.%I', nspname, relname) AS name,
    relpersistence = 'p' AND NOT member AND (relreplident NOT IN ('n', 'd')
      OR relreplident = 'd' AND EXISTS (
        SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)) AS keyed
  FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  CROSS JOIN LATERAL (SELECT NOT {sessions.NO_MEMBER} AS member) m
  WHERE relkind = 'r' AND relpersistence <> 't' AND {sessions.not_of(job.schemas)}
    AND (NOT member OR EXISTS (SELECT FROM pg_extension WHERE c.oid = ANY (extconfig)
      AND NOT extname = ANY ({sessions.names(job.extensions)})))
)
SELECT json_build_object(
  'publish', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM found WHERE keyed),
  'later', (SELECT coalesce(json_agg(name ORDER BY name), '[]') FROM found WHERE NOT keyed))
""")
    (job.folder / _FILE).write_text(json.dumps(found))


def _kept(job: Job) -> dict[str, Any]:
    file = job.folder / _FILE
    if not file.exists():
        # Followed since before this was written down.
        return {"publish": list(job.publish), "later": list(job.later)}
    return json.loads(file.read_text())


def publish(job: Job) -> list[str]:
    """The tables whose changes are followed, as SQL writes them."""
    return _kept(job)["publish"]


def later(job: Job) -> list[str]:
    """Those whose rows come at the cutover."""
    return _kept(job)["later"]


def unknown(job: Job, tables: Iterable[Table]) -> list[str]:
    """Those of `tables` that are neither, by name."""
    kept = _kept(job)
    return sorted({each.name for each in tables} - {*kept["publish"], *kept["later"]})
