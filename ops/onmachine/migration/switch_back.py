# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""The moment in which writes go back to the source: this server closed, drained and compared with
the source, which is opened again. Where that fails this server is opened again."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from host.domain.quoting import sql_literal
from ops.onmachine.migration import changed, closing, sequences, sessions, source, way_back
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.sessions import FOLDER, Failed

POLL_S = 0.05
# Once it is there, the source may be open: nothing but forward then.
_DECIDED = Path(FOLDER, "back-decided")


def main(action: str, documents: list[dict[str, Any]], drain_s: float) -> None:
    """Have all rows of these jobs (Job's documents) at the source, and `switch` writes there; give
    up `drain_s` seconds after the closing. Or `stay` here."""
    jobs = [Job(**each) for each in documents]
    sessions.report(lambda: _stay(jobs) if action == "stay" else _switch(jobs, drain_s))


def _stay(jobs: list[Job]) -> dict[str, Any]:
    if _DECIDED.exists():
        raise Failed("all is at the source, which is open again or is about to be")
    for job in jobs:
        closing.reopen(sessions.here("postgres"), job.database, _before(job))
    return {}


def _before(job: Job) -> Path:
    """Who may connect to the database here as long as nobody may."""
    return job.folder / "open-here"


def _switch(jobs: list[Job], drain_s: float) -> dict[str, Any]:
    found: dict[str, Any] = {"sequences": 0, "compared": 0, "not_compared": []}
    began = time.monotonic()
    if not _DECIDED.exists():
        try:
            with ThreadPoolExecutor(len(jobs)) as together:
                for each in together.map(lambda job: _bring(job, began + drain_s), jobs):
                    for name, value in each.items():
                        found[name] += value
        except Failed:
            for job in jobs:
                with suppress(Failed):
                    closing.reopen(sessions.here("postgres"), job.database, _before(job))
            raise
        _decide()
    for job in jobs:
        # The step after this one does it again, and says why where it cannot be done.
        with suppress(Failed):
            source.reopen(job)
    return {**found, "closed_s": round(time.monotonic() - began, 1)}


def _bring(job: Job, deadline: float) -> dict[str, Any]:
    """Nothing of the database is here alone any more. Raises Failed."""
    _require_none_prepared(job)
    closing.close(sessions.here("postgres"), job.database, _before(job))
    # From now on there can be no new one.
    _require_none_prepared(job)
    _drain(job, deadline)
    advanced = sequences.take_back(job)
    differing, compared, rest = changed.compare(job, way_back.left_out(job))
    if differing:
        raise Failed(f"not the same here and at the source: {', '.join(differing[:5])}")
    return {
        "sequences": advanced,
        "compared": compared,
        "not_compared": [f"{job.database}: {name}" for name in rest],
    }


def _require_none_prepared(job: Job) -> None:
    if prepared := sessions.prepared(job.here):
        raise Failed(f"prepared transactions wait in {job.database} here: {prepared}")


def _drain(job: Job, deadline: float) -> None:
    """Until everything that was committed here is at the source."""
    # A commit that is waited for, so that all before it is in WAL on disk, and read from there.
    until = job.here.ask(
        "SET synchronous_commit = local;\n"
        "DO $$ BEGIN PERFORM pg_logical_emit_message(true, 'ops migrate', ''); END $$;\n"
        "SELECT pg_current_wal_insert_lsn()"
    )
    arrived = (
        f"SELECT coalesce(confirmed_flush_lsn >= {sql_literal(until)}, false) "
        f"FROM pg_replication_slots WHERE slot_name = {sql_literal(way_back.name(job))}"
    )
    while job.here.ask(arrived) != "t":
        if time.monotonic() > deadline:
            kept = way_back.kept_error(job)
            why = f": {kept.read_text()}" if kept.exists() else ""
            raise Failed(f"the source did not catch up with {job.database} in time{why}")
        time.sleep(POLL_S)


def _decide() -> None:
    with _DECIDED.open("w") as file:
        os.fsync(file.fileno())
    folder = os.open(FOLDER, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
