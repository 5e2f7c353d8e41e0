# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""Which tables have changed here since the copy, by PostgreSQL's own counts: little enough for a
cutover to compare while writes have stopped."""

import json
from collections.abc import Sequence

from ops.onmachine.compare import work
from ops.onmachine.compare.session import Both, Place
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.sessions import NAME, PASSFILE

# What two cores read and hash on both sides in about a second.
BUDGET_BYTES = 64 << 20
_COUNTS = f"""
SELECT coalesce(json_object_agg(relid, json_build_object('schema', schemaname, 'name', relname,
  'sql', format('%I.%I', schemaname, relname), 'bytes', pg_table_size(relid),
  'count', n_tup_ins + n_tup_upd + n_tup_del)), '{{}}')
FROM pg_stat_user_tables WHERE schemaname <> '{NAME}'
"""


def keep(job: Job) -> None:
    """Write the counts down as they are now. Raises sessions.Failed."""
    (job.folder / "counts.json").write_text(json.dumps(job.here.value(_COUNTS)))


def compare(job: Job, left_out: Sequence[str] = ()) -> tuple[list[str], int, list[str]]:
    """Compare what has changed, the smallest first, but for tables `left_out` (names as SQL writes
    them): the tables that differ, how many were read, and those that would have taken too long.
    Raises sessions.Failed."""
    before = json.loads((job.folder / "counts.json").read_text())
    now = job.here.value(_COUNTS)
    found = [
        each
        for oid, each in now.items()
        if each["sql"] not in left_out
        and (oid not in before or before[oid]["count"] != each["count"])
    ]
    left, chosen, rest = BUDGET_BYTES, [], []
    for each in sorted(found, key=lambda table: table["bytes"]):
        left -= each["bytes"]
        (chosen if left >= 0 else rest).append(each)
    differing = _differing(job, [[each["schema"], each["name"]] for each in chosen])
    return differing, len(chosen), [f"{each['schema']}.{each['name']}" for each in rest]


def _differing(job: Job, tables: list[list[str]]) -> list[str]:
    if not tables:
        return []
    asked = work.Request(
        source=f"{job.source} passfile='{PASSFILE}'",
        here="application_name='ops migrate'",
        binaries=job.binaries,
        account="postgres",
        databases=[job.database],
        schemas=f"'^{NAME}'",
        tables=tables,
        percent=100,
        progress="",
        passfile="",
    )
    places = Both(
        Place(asked.source, asked.binaries, asked.account),
        Place(asked.here, asked.binaries, asked.account),
    )
    found = work.compare(asked, places)["databases"][job.database]
    if "failed" in found:
        return [found["failed"]]
    return [
        f"{each['schema']}.{each['name']}{': ' + each['failed'] if 'failed' in each else ''}"
        for each in found["tables"]
        if not each.get("equal")
    ]
