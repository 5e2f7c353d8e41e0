"""How fast rows leave the source and reach this machine, by as many sessions as a copy has."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ops.onmachine.migration import rows, sessions
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.rows import BLOCK_BYTES, Part, Table
from ops.onmachine.migration.sessions import PSQL, as_postgres

# What one session reads before it looks at the clock.
CHUNK_BYTES = 16 << 20


def main(document: dict[str, Any], seconds: float) -> None:
    """Read for this long from the largest table on. Prints {bytes, seconds}; of these bytes are
    the rows as they lie on the source's disk."""
    sessions.report(lambda: measure(Job(**document), seconds))


def measure(job: Job, seconds: float) -> dict[str, float]:
    todo = chunks(rows.tables(job))
    began = time.monotonic()

    def read(part: Part) -> int:
        enough = time.monotonic() >= began + seconds
        return 0 if enough or _read(job, part) else part.bytes

    with ThreadPoolExecutor(job.jobs) as together:
        done = sum(together.map(read, todo))
    return {"bytes": done, "seconds": time.monotonic() - began}


def chunks(tables: list[Table]) -> list[Part]:
    """What to read, one after the other."""
    step = CHUNK_BYTES // BLOCK_BYTES
    return [
        Part(table, 1, min(CHUNK_BYTES, table.bytes), first, first + step)
        for table in sorted(tables, key=lambda each: -each.bytes)
        for first in range(0, max(table.blocks, 1), step)
    ]


def _read(job: Job, part: Part) -> int:
    done = subprocess.run(
        as_postgres([*PSQL, "-d", job.source]),
        input=rows.sending(part, "").encode(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    return done.returncode
