# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""One database copied from another server: definitions, rows, large objects, indexes, sequences.

What is done leaves a mark in the database itself, in the transaction that did it: a copy that was
killed goes on where it was.
"""

import json
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any, cast

from host.domain.quoting import identifier, sql_literal
from ops.onmachine.migration import (
    changed,
    definitions,
    followed,
    rows,
    sequences,
    sessions,
    shapes,
    slot,
    source,
    subscription,
    views,
)
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.rows import Part, Table, marking
from ops.onmachine.migration.sessions import NAME, PSQL, SESSION, Failed, as_postgres

BARMAN_POLL_S = 5.0


def main(document: dict[str, Any]) -> None:
    sessions.report(Copy(Job(**document)).whole)


class Copy:
    """One copy under way."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._progress: dict[str, Any] = {"stage": "", "bytes": 0, "done_bytes": 0}
        self._lock = threading.Lock()

    def whole(self) -> dict[str, Any]:
        """Copy it, or what is left of it. Returns what there is to say. Raises Failed."""
        job, done = self.job, self._marks()
        if "whole" in done:
            return {"tables": int(job.here.ask(f"SELECT count(*) FROM {NAME}.done"))}
        if job.slot or "definitions" not in done:
            # What is followed begins at the slot's own snapshot, which an interruption has ended.
            self._begin()
            done = set()
        subprocess.run(["install", "-d", "-o", "postgres", job.folder], check=True)
        with self._snapshot() as snapshot:
            tables = rows.tables(job, snapshot)
            if job.slot:
                tables = self._followed(tables)
                shapes.keep(job.there, job.folder, job.schemas)
            if "definitions" not in done:
                self._tell(stage="definitions")
                definitions.dump(job, snapshot)
                definitions.restore(job, "pre-data", again=False)
                self._mark("definitions")
            self._tell(stage="rows")
            self._rows(tables, snapshot, done)
            if "large objects" not in done:
                self._tell(stage="large objects")
                definitions.large_objects(job, snapshot)
                self._mark("large objects")
        # Without the snapshot, which keeps the source from cleaning up.
        if "indexes" not in done:
            self._tell(stage="indexes and constraints")
            again = "indexes begun" in done
            if not again:
                self._mark("indexes begun")
            definitions.restore(job, "post-data", again=again, jobs=job.jobs)
            self._mark("indexes")
        self._tell(stage="materialized views, sequences and statistics")
        views.refresh(job)
        sequences.advance(job)
        self._analyze()
        if job.slot:
            # It came with the definitions; here nobody reads from it.
            job.here.ask(f"DROP PUBLICATION IF EXISTS {NAME}")
            changed.keep(job)
            subscription.subscribe(job)
        self._mark("whole")
        sessions.flush(job.here)
        return {"tables": len(tables)}

    def _followed(self, tables: list[Table]) -> list[Table]:
        """Those to copy now; what an extension keeps comes again at the cutover. Raises Failed."""
        if new := followed.unknown(self.job, tables):
            raise Failed(
                f"{', '.join(new[:5])} came while the copy began, and would not be followed; the "
                "copy has to begin anew"
            )
        late = set(followed.later(self.job))
        return [each for each in tables if each.condition is not None or each.name not in late]

    def _tell(self, **facts: object) -> None:
        self._progress.update(facts)
        fresh = self.job.folder / "progress.new"
        fresh.write_text(json.dumps(self._progress))
        fresh.rename(self.job.folder / "progress.json")

    def _marks(self) -> set[str]:
        """What has been done of it; nothing where the database is not there, or not ours."""
        if not self._there():
            return set()
        if self.job.here.ask(f"SELECT to_regclass('{NAME}.done') IS NULL") == "t":
            return set()
        return set(self.job.here.ask(f"SELECT what FROM {NAME}.done").splitlines())

    def _mark(self, what: str) -> None:
        self.job.here.ask(marking(what))

    def _there(self) -> bool:
        name = sql_literal(self.job.database)
        found = sessions.here("postgres").ask(
            f"SELECT count(*) FROM pg_database WHERE datname = {name}"
        )
        return found != "0"

    def _begin(self) -> None:
        """A new, empty database, in the place of one that an earlier run has begun or that had
        nothing in it."""
        server, name = sessions.here("postgres"), identifier(self.job.database)
        if self._there():
            self._require_ours()
            subscription.unsubscribe(self.job.here)
            server.ask(f"DROP DATABASE {name} WITH (FORCE)")
        server.ask(self.job.create)
        self.job.here.ask(
            f"CREATE SCHEMA {NAME}; CREATE TABLE {NAME}.done (what text PRIMARY KEY);"
            f"REVOKE ALL ON SCHEMA {NAME} FROM PUBLIC"
        )

    def _require_ours(self) -> None:
        here = self.job.here
        ours = here.ask(f"SELECT to_regnamespace('{NAME}') IS NOT NULL") == "t"
        if not ours and not (self.job.replace and here.ask(sessions.EMPTY) == "t"):
            raise Failed(f"the database {self.job.database} here is not empty")

    @contextmanager
    def _snapshot(self) -> Iterator[str]:
        """The name of a snapshot of the source, which lives as long as the session that has it."""
        job = self.job
        if job.slot:
            slot.drop(job.door, job.slot)
            followed.decide(job)
            source.publish(job)
        words, question = _holder(job)
        with subprocess.Popen(
            as_postgres(words),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as session:
            telling, answering = cast(IO[str], session.stdin), cast(IO[str], session.stdout)
            telling.write(question)
            telling.flush()
            answer = answering.readline().strip()
            if not answer:
                telling.close()
                raise Failed(sessions.said(cast(IO[str], session.stderr).read()))
            try:
                yield answer.split("|")[2] if job.slot else answer
            finally:
                telling.close()

    def _rows(self, tables: list[Table], snapshot: str, done: set[str]) -> None:
        found = rows.parts(tables, self.job.version)
        for part in found:
            mark = f"emptied {part.table.oid}"
            if part.number == 1 and mark not in done:
                self.job.here.ask(f"TRUNCATE ONLY {part.table.name}; {marking(mark)}")
        left = [part for part in found if part.mark not in done]
        total = sum(part.bytes for part in found)
        self._tell(bytes=total, done_bytes=total - sum(part.bytes for part in left))
        todo: queue.SimpleQueue[Part] = queue.SimpleQueue()
        for part in left:
            todo.put(part)
        failures: list[Failed] = []

        def work(worker: int) -> None:
            while not failures:
                try:
                    part = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    self._let_barman_keep_up()
                    rows.transfer(self.job, part, snapshot, worker)
                except Failed as failed:
                    failures.append(failed)
                    return
                with self._lock:
                    self._tell(done_bytes=self._progress["done_bytes"] + part.bytes)

        workers = [threading.Thread(target=work, args=(n,)) for n in range(self.job.jobs)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if failures:
            raise failures[0]

    def _let_barman_keep_up(self) -> None:
        """WAL that Barman has not taken fills the disk, and a slot that retains too much of it is
        invalidated: loading waits instead."""
        slot = sql_literal(self.job.backup_slot)
        while True:
            retained = sessions.here("postgres").ask(
                "SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), 0)"
                f"::bigint FROM pg_replication_slots WHERE slot_name = {slot}"
            )
            if int(retained) <= self.job.wal_bytes:
                return
            time.sleep(BARMAN_POLL_S)

    def _analyze(self) -> None:
        """Statistics, which do not come along; those of partitioned tables are not vacuumdb's."""
        here = self.job.here
        here.output(
            [
                *("vacuumdb", "-w", "--analyze-only", "--quiet", f"--jobs={self.job.jobs}"),
                f"--dbname={here.conninfo}",
            ]
        )
        partitioned = here.value(
            "SELECT coalesce(json_agg(format('%I.%I', nspname, relname)), '[]') "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'p'"
        )
        for name in partitioned:
            here.ask(f"ANALYZE {name}")


def _holder(job: Job) -> tuple[list[str], str]:
    """The session that holds a snapshot, and what it is told."""
    if not job.slot:
        began = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        return [*PSQL, "-d", job.source], f"{SESSION}{began};\nSELECT pg_export_snapshot();\n"
    # The form that every version from 11 to 17 understands.
    made = f"CREATE_REPLICATION_SLOT {identifier(job.slot)} LOGICAL pgoutput EXPORT_SNAPSHOT;\n"
    return [*PSQL, "-d", f"{job.source} replication=database"], made
