"""Tables that differ from the source, or cannot be followed, copied over what they have here."""

import json
from typing import Any

from ops.onmachine.migration import definitions, rows, sequences, views
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.rows import Part
from ops.onmachine.migration.sessions import Failed


def main(documents: list[dict[str, Any]]) -> None:
    """Everything that could differ, of these jobs."""
    try:
        copied = 0
        for job in (Job(**each) for each in documents):
            copied += tables(job)
            sequences.advance(job)
            views.refresh(job)
        print(json.dumps({"tables": copied}))
    except Failed as failed:
        print(json.dumps({"failed": str(failed)}))


def tables(job: Job) -> int:
    """The job's later tables, and large objects where they differ; how many tables that is. Raises
    Failed."""
    found = [table for table in rows.tables(job) if {table.name, table.plain} & set(job.later)]
    for table in found:
        rows.transfer(job, Part(table, 0, table.bytes), "", 0, again=True)
    if definitions.large_objects_differ(job):
        definitions.large_objects(job)
    return len(found)
