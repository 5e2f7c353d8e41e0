"""How fast rows leave the source and reach this machine, by as many sessions as a copy has."""

import json
import subprocess
import threading
import time
from typing import Any

from ops.onmachine.migration import rows
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.rows import BLOCK_BYTES, Part, Table
from ops.onmachine.migration.sessions import PSQL, Failed, as_postgres

# What one session reads before it looks at the clock.
CHUNK_BYTES = 16 << 20


def main(document: dict[str, Any], seconds: float) -> None:
    """Read for this long from the largest table on. Prints {bytes, seconds}; of these bytes are
    the rows as they lie on the source's disk."""
    job = Job(**document)
    try:
        print(json.dumps(measure(job, seconds)))
    except Failed as failed:
        print(json.dumps({"failed": str(failed)}))


def measure(job: Job, seconds: float) -> dict[str, float]:
    todo = chunks(rows.tables(job))
    done = [0] * job.jobs
    began = time.monotonic()
    lock = threading.Lock()

    def work(worker: int) -> None:
        while time.monotonic() < began + seconds:
            with lock:
                part = todo.pop(0) if todo else None
            if part is None:
                return
            if _read(job, part) == 0:
                done[worker] += part.bytes

    workers = [threading.Thread(target=work, args=(n,)) for n in range(job.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return {"bytes": sum(done), "seconds": time.monotonic() - began}


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
