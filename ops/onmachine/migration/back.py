# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""What is written here since a cutover, written at the source as well. Runs as a unit for as long
as there is a way back.

The source notes in each transaction how far it is: whatever is killed, nothing is written twice and
nothing is left out.
"""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from host.domain.quoting import sql_literal
from ops.onmachine.migration import pgoutput, subscription, way_back
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.pgoutput import Message
from ops.onmachine.migration.sessions import BACK, SESSION, Failed
from ops.onmachine.migration.streams import Psql
from ops.onmachine.migration.writer import Writer

POLL_S, RETRY_S = 1.0, 5.0
# Changes that are read at once; a transaction is never cut.
_CHANGES = 10_000


def main(documents: list[dict[str, Any]]) -> None:
    """Every database of these jobs (Job's documents), for ever."""
    jobs = [Job(**each) for each in documents]
    with ThreadPoolExecutor(len(jobs)) as together:
        list(together.map(_go_on, jobs))


def _go_on(job: Job) -> None:
    kept = way_back.kept_error(job)
    while True:
        try:
            idle = not once(job)
            kept.unlink(missing_ok=True)
            time.sleep(POLL_S if idle else 0)
        except Exception as failed:
            # Whatever it is: a thread that ends is seen by nobody.
            _keep(kept, str(failed) or repr(failed))
            time.sleep(RETRY_S)


def _keep(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(path)


def once(job: Job) -> bool:
    """Take to the source what is committed here, or much of it; whether there was anything. Raises
    Failed, pgoutput.Unreadable."""
    slot = sql_literal(way_back.name(job))
    with Psql(job.here, read=True) as reader:
        reader.send(
            f"{SESSION}SELECT timeline_id, pg_current_wal_flush_lsn() FROM pg_control_checkpoint();"
            "\nCOPY (SELECT encode(data, 'hex') FROM pg_logical_slot_peek_binary_changes("
            f"{slot}, NULL, {_CHANGES}, 'proto_version', '1', 'publication_names', '{BACK}')) "
            "TO STDOUT;\n"
        )
        reader.end()
        timeline, _, flushed = reader.output.readline().strip().partition("|")
        if timeline and timeline != subscription.kept_timeline(job):
            raise Failed(way_back.RECOVERED)
        reached = _take(job, _read(reader.output))
        reader.finish()
    # Only now that it is at the source may the slot let go of it. Where nothing came, nothing that
    # was committed up to `flushed` is for the source.
    job.here.ask(f"SELECT pg_replication_slot_advance({slot}, '{reached or flushed}')")
    return reached is not None


def _read(lines: Iterable[str]) -> Iterator[Message]:
    for line in lines:
        message = pgoutput.read(bytes.fromhex(line))
        if message is not None:
            yield message


def _take(job: Job, messages: Iterator[Message]) -> str | None:
    """Have them written at the source; where WAL goes on behind them, or None if there were none.
    The source is asked nothing before there is something for it."""
    first = next(messages, None)
    if first is None:
        return None
    with Writer(job) as writer:
        writer.take(first)
        for message in messages:
            writer.take(message)
        return writer.finish()
