# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""The moment in which writes go from the source to this server: the source closed, drained, and
what cannot be followed copied. Where that fails the source is opened again."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from host.domain.quoting import sql_literal
from ops.onmachine.migration import (
    catch_up,
    changed,
    definitions,
    followed,
    rows,
    sequences,
    sessions,
    shapes,
    source,
    way_back,
)
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.sessions import Failed

POLL_S = 0.05


def main(documents: list[dict[str, Any]], drain_s: float, reverse: bool) -> None:
    """Close the databases of these jobs at the source and have all of their rows here; give up
    `drain_s` seconds after the closing. `reverse`: keep a way back."""
    jobs = [Job(**each) for each in documents]
    try:
        for job in jobs:
            if reverse:
                # Of an attempt that was killed.
                way_back.remove(job)
            require_ready(job)
            if reverse:
                way_back.prepare(job, drain_s)
        print(json.dumps(_cut_over(jobs, drain_s, reverse)))
    except Failed as failed:
        for job in jobs:
            with suppress(Failed):
                source.reopen(job)
            if reverse:
                with suppress(Failed):
                    way_back.remove(job)
        print(json.dumps({"failed": str(failed)}))


def _cut_over(jobs: list[Job], drain_s: float, reverse: bool) -> dict[str, Any]:
    began = time.monotonic()

    def one(job: Job) -> tuple[int, int, int, list[str]]:
        source.close(job)
        # From now on there can be no new one.
        _require_none_prepared(job)
        _drain(job, began + drain_s)
        if reverse:
            # Before the comparison, which finds what somebody writes here too early.
            way_back.begin(job)
        copied, advanced = catch_up.tables(job, followed.later(job)), sequences.advance(job)
        differing, compared, rest = changed.compare(job)
        if differing:
            raise Failed(f"not the same at the source and here: {', '.join(differing[:5])}")
        sessions.flush(job.here)
        return copied, advanced, compared, [f"{job.database}: {name}" for name in rest]

    with ThreadPoolExecutor(len(jobs)) as together:
        copied, advanced, compared, rest = zip(*together.map(one, jobs), strict=True)
    return {
        "closed_s": round(time.monotonic() - began, 1),
        "tables": sum(copied),
        "sequences": sum(advanced),
        "compared": sum(compared),
        "not_compared": [name for names in rest for name in names],
    }


def require_ready(job: Job) -> None:
    """Raises Failed where the source has something that nobody has followed."""
    found = shapes.changed(job.there, job.folder, job.schemas)
    if found := found or followed.unknown(job, rows.tables(job)) or definitions.changed(job):
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise Failed(
            "definitions at the source have changed since the copy, and DDL is not followed: "
            f"{', '.join(found[:5])}{more}"
        )
    _require_none_prepared(job)


def _require_none_prepared(job: Job) -> None:
    if prepared := sessions.prepared(job.there):
        raise Failed(f"prepared transactions wait at the source: {prepared}")


def _drain(job: Job, deadline: float) -> None:
    """Until everything that the source has committed is here."""
    until = job.there.ask("SELECT pg_current_wal_insert_lsn()")
    arrived = (
        f"SELECT coalesce(confirmed_flush_lsn >= {sql_literal(until)}, false) "
        f"FROM pg_replication_slots WHERE slot_name = {sql_literal(job.slot)}"
    )
    while job.there.ask(arrived) != "t":
        if time.monotonic() > deadline:
            raise Failed(f"{job.database} did not catch up with the source in time")
        time.sleep(POLL_S)
