# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""Sequences, whose values neither COPY nor a subscription brings."""

from host.domain.quoting import sql_literal
from ops.onmachine.migration import sessions
from ops.onmachine.migration.job import Job


def advance(job: Job) -> int:
    """Give every sequence here the source's value; how many there are. Raises
    sessions.Failed."""
    names: list[str] = job.there.value(
        "SELECT coalesce(json_agg(format('%I.%I', nspname, relname)), '[]') "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE relkind = 'S' AND relpersistence <> 't' "
        f"AND {sessions.not_of(job.schemas)} AND {sessions.NO_MEMBER}"
    )
    if not names:
        return 0
    each = "\nUNION ALL ".join(
        f"SELECT {sql_literal(name)} AS name, last_value, is_called FROM {name}" for name in names
    )
    values = job.there.value(f"SELECT json_agg(s) FROM ({each}) s")
    job.here.ask(
        "\n".join(
            f"SELECT setval({sql_literal(v['name'])}, {v['last_value']}, {v['is_called']});"
            for v in values
        )
    )
    return len(values)
