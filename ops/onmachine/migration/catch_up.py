"""Tables that differ from the source, or cannot be followed, copied over what they have here."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ops.onmachine.migration import definitions, rows, sequences, sessions, views
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.rows import Part

_SIDE_BY_SIDE = 4


def main(documents: list[dict[str, Any]]) -> None:
    """Everything that could differ, of these jobs."""
    sessions.report(lambda: {"tables": sum(_everything(Job(**each)) for each in documents)})


def _everything(job: Job) -> int:
    copied = tables(job, job.later)
    sequences.advance(job)
    views.refresh(job)
    return copied


def tables(job: Job, names: Collection[str]) -> int:
    """These tables, and large objects where they differ; how many tables that is. Raises
    Failed."""
    found = [table for table in rows.tables(job) if {table.name, table.plain} & set(names)]
    # Side by side: at a cutover, writes wait for it.
    with ThreadPoolExecutor(_SIDE_BY_SIDE) as together:
        objects = together.submit(_large_objects, job)
        parts = [Part(table, 0, table.bytes) for table in found]
        done = [
            together.submit(rows.transfer, job, part, "", worker, again=True)
            for worker, part in enumerate(parts)
        ]
        for each in (objects, *done):
            each.result()
    return len(found)


def _large_objects(job: Job) -> None:
    if definitions.large_objects_differ(job):
        definitions.large_objects(job)
