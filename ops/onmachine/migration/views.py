# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""Materialized views, whose rows come from a REFRESH here: nothing else brings them."""

from typing import Any

from ops.onmachine.migration import sessions
from ops.onmachine.migration.job import Job


def main(documents: list[dict[str, Any]]) -> None:
    sessions.report(lambda: {"views": sum(refresh(Job(**each)) for each in documents)})


def refresh(job: Job) -> int:
    """Refresh those that have rows at the source; how many there are. Raises sessions.Failed.

    The order in which they were made is one in which each finds those that it reads.
    """
    names: list[str] = job.there.value(
        "SELECT coalesce(json_agg(format('%I.%I', nspname, relname) ORDER BY c.oid), '[]') "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE relkind = 'm' AND relispopulated "
        f"AND {sessions.not_of(job.schemas)} AND {sessions.NO_MEMBER}"
    )
    for name in names:
        job.here.ask(f"REFRESH MATERIALIZED VIEW {name}")
    return len(names)
