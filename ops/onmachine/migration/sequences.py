# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""Sequences, whose values neither COPY nor a subscription brings."""

from host.domain.quoting import sql_literal
from ops.onmachine.migration import sessions
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.sessions import WRITE, Server


def advance(job: Job) -> int:
    """Give every sequence here the source's value; how many there are. Raises
    sessions.Failed."""
    return _give(job.there, job.here, _names(job, job.there))


def take_back(job: Job) -> int:
    """Give every sequence of the source the value that it has here; how many there are. Raises
    sessions.Failed."""
    here = set(_names(job, job.here))
    return _give(job.here, job.there, [name for name in _names(job, job.there) if name in here])


def _names(job: Job, server: Server) -> list[str]:
    """Those of a server, as SQL writes them. Raises sessions.Failed."""
    return server.value(
        "SELECT coalesce(json_agg(format('%I.%I', nspname, relname)), '[]') "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE relkind = 'S' AND relpersistence <> 't' "
        f"AND {sessions.not_of(job.schemas)} AND ({sessions.NO_MEMBER} OR EXISTS ("
        # What an extension counts for its user.
        "SELECT FROM pg_extension WHERE c.oid = ANY (extconfig) "
        f"AND NOT extname = ANY ({sessions.names(job.extensions)})))"
    )


def _give(giver: Server, taker: Server, found: list[str]) -> int:
    if not found:
        return 0
    each = "\nUNION ALL ".join(
        f"SELECT {sql_literal(name)} AS name, last_value, is_called FROM {name}" for name in found
    )
    values = giver.value(f"SELECT json_agg(s) FROM ({each}) s")
    taker.ask(
        WRITE
        + "\n".join(
            f"SELECT setval({sql_literal(v['name'])}, {v['last_value']}, {v['is_called']});"
            for v in values
        )
    )
    return len(values)
