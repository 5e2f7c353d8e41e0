# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""One database copied from another server: definitions, rows, large objects, indexes, sequences.

What is done leaves a mark in the database itself, in the transaction that did it: a copy that was
killed goes on where it was. pg_dump and pg_restore bring the definitions; rows come by COPY, table
by table and large tables in parts, for pg_restore cannot go on in the middle.
"""

import json
import queue
import re
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

from host.domain.quoting import identifier, sql_literal
from ops.onmachine import migration
from ops.onmachine.migration import FOLDER, NAME, PSQL, SESSION, Failed, Server, as_postgres

# A part of a large table: what is done again after an interruption.
PART_BYTES = 1 << 30
BLOCK_BYTES = 8192
# Ranges of ctid are found without reading the whole table since this version.
TID_RANGES_SINCE = 140000
BARMAN_POLL_S = 5.0
# pg_restore's words for what an interrupted one has made already, and for what is ours to decide:
# an event trigger belongs to a superuser, and here that is this server's own.
_MADE = re.compile(r"already exists|multiple primary keys|is already (a partition|member)")
_OURS = re.compile(r"permission denied to change owner of event trigger")


@dataclass(frozen=True)
class Job:
    """What to copy. `source` and `publisher` are connection strings of the database, the second
    one for the subscription; `create` is the statement that creates it here, `replace` whether an
    empty one of this name is there; `schemas` and `extensions` are left out.

    With `slot` changes are followed from the copy's own snapshot on; the rows of `later` (names as
    SQL writes them) come at the cutover. While Barman's slot `backup_slot` retains more than
    `wal_bytes`, nothing new is loaded.
    """

    database: str
    source: str
    version: int
    create: str
    schemas: Sequence[str]
    extensions: Sequence[str]
    jobs: int
    backup_slot: str
    wal_bytes: int
    replace: bool = False
    slot: str = ""
    publish: Sequence[str] = ()
    later: Sequence[str] = ()

    @property
    def folder(self) -> Path:
        """For the files of this copy; a name of a database may have a slash in it."""
        return Path(FOLDER, self.database.encode().hex()[:200])

    def document(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def main(document: dict[str, Any]) -> None:
    try:
        print(json.dumps(Copy(Job(**document)).whole()))
    except Failed as failed:
        print(json.dumps({"failed": str(failed)}))


@dataclass(frozen=True)
class Table:
    """One of the source. `columns` are those that a COPY has, as SQL writes them."""

    oid: int
    name: str
    columns: tuple[str, ...]
    bytes: int
    blocks: int

    @property
    def target(self) -> str:
        """As COPY names it; a table may be without columns."""
        return f"{self.name} ({', '.join(self.columns)})" if self.columns else self.name


@dataclass(frozen=True)
class Part:
    """Blocks of a table from `first` to before `last`, or all of it."""

    table: Table
    number: int
    bytes: int
    first: int = 0
    last: int | None = None

    @property
    def mark(self) -> str:
        return f"rows {self.table.oid} {self.number}"


def parts(tables: Iterable[Table], version: int) -> list[Part]:
    """All of them, the largest tables first, so that no worker ends long after the others."""
    found: list[Part] = []
    for table in sorted(tables, key=lambda each: -each.bytes):
        number = table.blocks * BLOCK_BYTES // PART_BYTES + 1
        if number == 1 or version < TID_RANGES_SINCE:
            found.append(Part(table, 0, table.bytes))
            continue
        step = table.blocks // number + 1
        for part in range(number):
            last = None if part == number - 1 else (part + 1) * step
            found.append(Part(table, part + 1, table.bytes // number, part * step, last))
    return found


def sending(part: Part, snapshot: str) -> str:
    """The SQL by which the source sends the rows of a part, as they were in the snapshot."""
    columns = ", ".join(part.table.columns)
    rows = part.table.target
    if part.number:
        until = "" if part.last is None else f" AND ctid < '({part.last},0)'"
        rows = (
            f"(SELECT {columns} FROM ONLY {part.table.name} "
            f"WHERE ctid >= '({part.first},0)'{until})"
        )
    return f"""{SESSION}
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET TRANSACTION SNAPSHOT {sql_literal(snapshot)};
COPY {rows} TO STDOUT;
COMMIT;
"""


def receiving(part: Part, program: str) -> str:
    """The SQL by which they arrive here, with their mark, or not at all. A whole table is emptied
    in the same transaction, so that its rows are frozen as they come."""
    whole = not part.number
    return f"""
BEGIN;
{f"TRUNCATE ONLY {part.table.name};" if whole else ""}
\\copy {part.table.target} from program '{program}'{" with (freeze)" if whole else ""}
{marking(part.mark)}
COMMIT;
"""


def marking(mark: str) -> str:
    """The SQL that notes what has been done."""
    return f"INSERT INTO {NAME}.done VALUES ({sql_literal(mark)});"


def wanted(listed: str) -> str:
    """What pg_restore is to restore, out of its own list: no rights to PostgreSQL's own functions,
    which a managed service has changed and another version may not have."""
    return "".join(
        line
        for line in listed.splitlines(keepends=True)
        if not re.match(r"\d+; \d+ \d+ (ACL|COMMENT) pg_catalog ", line)
    )


def complaints(stderr: str, *, again: bool) -> list[str]:
    """What pg_restore could not do and should have done. `again`: what it had made before is no
    complaint."""
    found, about = [], ""
    for line in stderr.splitlines():
        if "pg_restore: from TOC entry " in line:
            about = line.partition("pg_restore: from TOC entry ")[2].partition("; ")[2]
        error = re.search(r"pg_restore: error: (?:could not execute query: )?(.+)", line)
        if error and not _OURS.search(error[1]) and not (again and _MADE.search(error[1])):
            found.append(f"{error[1]} ({about})" if about else error[1])
    return found


class Copy:
    """One copy under way."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.here, self.source = migration.here(job.database), Server(job.source)
        self.conninfo = job.folder / "source"
        self._progress = {"stage": "", "bytes": 0, "done_bytes": 0, "tables": 0, "done_tables": 0}

    def whole(self) -> dict[str, Any]:
        """Copy it, or what is left of it. Returns what there is to say. Raises Failed."""
        done = self._marks()
        if "whole" in done:
            return {"tables": 0}
        if self.job.slot or "definitions" not in done:
            # Without the snapshot that it began with, what is followed would begin in another one.
            done = self._begin()
        subprocess.run(["install", "-d", "-o", "postgres", self.job.folder], check=True)
        self.conninfo.write_text(self.job.source)
        with self._snapshot() as snapshot:
            tables = self._tables(snapshot)
            if "definitions" not in done:
                self._stage("definitions")
                self._definitions(snapshot)
            self._stage("rows")
            self._rows(tables, snapshot, done)
            if "large objects" not in done:
                self._stage("large objects")
                self._large_objects(snapshot)
        # The snapshot goes before indexes are built: it keeps the source from cleaning up.
        again = "indexes begun" in done
        if "indexes" not in done:
            self._stage("indexes and constraints")
            self._mark("indexes begun") if not again else None
            self._indexes(again=again)
        self._stage("sequences and statistics")
        self._sequences()
        self._analyze()
        if self.job.slot:
            self._subscribe()
        self._mark("whole")
        return {"tables": len(tables)}

    def _stage(self, name: str) -> None:
        self._tell(stage=name)

    def _tell(self, **facts: object) -> None:
        self._progress.update(facts)
        path = self.job.folder / "progress.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(self._progress))
        fresh.rename(path)

    def _marks(self) -> set[str]:
        """What has been done of it; nothing where the database is not there, or not ours."""
        there = sql_literal(self.job.database)
        found = migration.here("postgres").ask(
            f"SELECT count(*) FROM pg_database WHERE datname = {there}"
        )
        if found == "0":
            return set()
        if self.here.ask(f"SELECT to_regclass('{NAME}.done') IS NULL") == "t":
            return set()
        return set(self.here.ask(f"SELECT what FROM {NAME}.done").splitlines())

    def _mark(self, what: str) -> None:
        self.here.ask(marking(what))

    def _begin(self) -> set[str]:
        """A new, empty database, in the place of one that an earlier run has begun or that had
        nothing in it."""
        server, name = migration.here("postgres"), identifier(self.job.database)
        there = server.ask(
            f"SELECT count(*) FROM pg_database WHERE datname = {sql_literal(self.job.database)}"
        )
        if there != "0":
            self._require_ours()
            self._unsubscribe()
            server.ask(f"DROP DATABASE {name} WITH (FORCE)")
        server.ask(self.job.create)
        self.here.ask(
            f"CREATE SCHEMA {NAME}; CREATE TABLE {NAME}.done (what text PRIMARY KEY);"
            f"REVOKE ALL ON SCHEMA {NAME} FROM PUBLIC"
        )
        return set()

    def _require_ours(self) -> None:
        ours = self.here.ask(f"SELECT to_regnamespace('{NAME}') IS NOT NULL") == "t"
        if not ours and not (self.job.replace and self.here.ask(EMPTY) == "t"):
            raise Failed(f"the database {self.job.database} here is not empty")

    @contextmanager
    def _snapshot(self) -> Iterator[str]:
        """The name of a snapshot of the source, which lives as long as the session that has it."""
        if self.job.slot:
            self._publish()
        words, question = _holder(self.job)
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
                raise Failed(migration.said(cast(IO[str], session.stderr).read()))
            try:
                yield answer.split("|")[2] if self.job.slot else answer
            finally:
                telling.close()

    def _publish(self) -> None:
        """A publication of what is followed, and no slot of an earlier attempt."""
        drop_slot(self.source, self.job.slot)
        tables = ", ".join(self.job.publish)
        self.source.ask(
            f"SET default_transaction_read_only = off;\nDROP PUBLICATION IF EXISTS {NAME};\n"
            f"CREATE PUBLICATION {NAME}{f' FOR TABLE ONLY {tables}' if tables else ''}"
        )

    def _tables(self, snapshot: str) -> list[Table]:
        found = self.source.value(
            f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n"
            f"SET TRANSACTION SNAPSHOT {sql_literal(snapshot)};\n{_tables_of(self.job)}"
        )
        return [
            Table(each["oid"], each["name"], tuple(each["columns"]), each["bytes"], each["blocks"])
            for each in found
            if each["name"] not in self.job.later
        ]

    def _definitions(self, snapshot: str) -> None:
        job = self.job
        left = [f"--exclude-schema={identifier(name)}" for name in (*job.schemas, NAME)]
        left += [f"--exclude-extension={identifier(name)}" for name in job.extensions]
        common = ["--no-security-labels", "--no-subscriptions", "--no-tablespaces"]
        self._run(
            [
                *("pg_dump", "-w", "--format=custom", "--schema-only", f"--snapshot={snapshot}"),
                *(*common, *left, f"--file={job.folder}/definitions", f"--dbname={job.source}"),
            ]
        )
        listed = self._run(["pg_restore", "--list", f"{job.folder}/definitions"])
        Path(job.folder, "wanted").write_text(wanted(listed))
        self._restore("pre-data", again=False)
        self._mark("definitions")

    def _restore(self, section: str, *, again: bool, jobs: int = 1) -> None:
        folder = self.job.folder
        done = self.here.run(
            [
                *("pg_restore", "-w", f"--section={section}", f"--jobs={jobs}"),
                *(f"--use-list={folder}/wanted", f"--dbname={self.here.conninfo}"),
                f"{folder}/definitions",
            ]
        )
        found = complaints(done.stderr, again=again)
        if found:
            more = f", and {len(found) - 5} more" if len(found) > 5 else ""
            raise Failed(f"not everything could be created: {'; '.join(found[:5])}{more}")
        if done.returncode not in (0, 1):
            raise Failed(migration.said(done.stderr))

    def _run(self, words: Sequence[str]) -> str:
        done = self.source.run(words)
        if done.returncode:
            raise Failed(migration.said(done.stderr))
        return done.stdout

    def _rows(self, tables: list[Table], snapshot: str, done: set[str]) -> None:
        found = parts(tables, self.job.version)
        self._tell(tables=len(tables), bytes=sum(part.bytes for part in found))
        for part in found:
            mark = f"emptied {part.table.oid}"
            if part.number == 1 and mark not in done:
                self.here.ask(f"TRUNCATE ONLY {part.table.name}; {marking(mark)}")
        todo: queue.SimpleQueue[Part] = queue.SimpleQueue()
        for part in found:
            if part.mark not in done:
                todo.put(part)
        left = {table.oid: 0 for table in tables}
        for part in found:
            left[part.table.oid] += part.mark not in done
        self._tell(
            done_bytes=sum(part.bytes for part in found if part.mark in done),
            done_tables=sum(not number for number in left.values()),
        )
        failures: list[Failed] = []
        lock = threading.Lock()

        def work(worker: int) -> None:
            while not failures:
                try:
                    part = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    self._let_barman_keep_up()
                    self._part(part, snapshot, worker)
                except Failed as failed:
                    failures.append(Failed(f"{part.table.name}: {failed}"))
                    return
                with lock:
                    left[part.table.oid] -= 1
                    self._tell(
                        done_bytes=int(self._progress["done_bytes"]) + part.bytes,
                        done_tables=sum(not number for number in left.values()),
                    )

        workers = [threading.Thread(target=work, args=(n,)) for n in range(self.job.jobs)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        if failures:
            raise failures[0]

    def _part(self, part: Part, snapshot: str, worker: int) -> None:
        """The source's client is a program of ours's: where it fails, nothing is committed here."""
        program, question = (self.job.folder / f"{name}-{worker}" for name in ("send", "question"))
        question.write_text(sending(part, snapshot))
        words = " ".join([*PSQL, "-d", f'"$(cat {self.conninfo})"', "-f", str(question)])
        program.write_text(f"exec {words}\n")
        done = self.here.run([*PSQL, "-d", self.here.conninfo], receiving(part, f"sh {program}"))
        if done.returncode:
            raise Failed(migration.said(done.stderr))

    def _let_barman_keep_up(self) -> None:
        """WAL that Barman has not taken fills the disk, and a slot that retains too much of it is
        invalidated: loading waits instead."""
        slot = sql_literal(self.job.backup_slot)
        while True:
            retained = migration.here("postgres").ask(
                "SELECT coalesce(max(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)), 0)"
                f"::bigint FROM pg_replication_slots WHERE slot_name = {slot}"
            )
            if int(retained) <= self.job.wal_bytes:
                return
            time.sleep(BARMAN_POLL_S)

    def _large_objects(self, snapshot: str) -> None:
        """By pg_dump, which knows their owners, grants and comments; and nothing else of it."""
        if self.source.ask("SELECT count(*) FROM pg_largeobject_metadata") != "0":
            self.here.ask("SELECT count(lo_unlink(oid)) FROM pg_largeobject_metadata")
            file = f"{self.job.folder}/large-objects"
            self._run(
                [
                    *("pg_dump", "-w", "--format=custom", "--section=data", "--large-objects"),
                    *("--exclude-table-data=*.*", "--no-security-labels", "--compress=none"),
                    *(f"--snapshot={snapshot}", f"--file={file}", f"--dbname={self.job.source}"),
                ]
            )
            done = self.here.run(["pg_restore", "-w", f"--dbname={self.here.conninfo}", file])
            Path(file).unlink()
            if found := complaints(done.stderr, again=False):
                raise Failed(f"large objects: {'; '.join(found[:5])}")
        self._mark("large objects")

    def _indexes(self, *, again: bool) -> None:
        self._restore("post-data", again=again, jobs=self.job.jobs)
        if self.job.slot:
            self.here.ask(f"DROP PUBLICATION IF EXISTS {NAME}")
        self._mark("indexes")

    def _sequences(self) -> None:
        set_sequences(self.source, self.here, self.job.schemas)

    def _analyze(self) -> None:
        """Statistics, which do not come along; those of partitioned tables are not vacuumdb's."""
        done = self.here.run(
            [
                *("vacuumdb", "-w", "--analyze-only", "--quiet", f"--jobs={self.job.jobs}"),
                f"--dbname={self.here.conninfo}",
            ]
        )
        if done.returncode:
            raise Failed(migration.said(done.stderr))
        partitioned = self.here.value(
            "SELECT coalesce(json_agg(format('%I.%I', nspname, relname)), '[]') "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'p'"
        )
        for name in partitioned:
            self.here.ask(f"ANALYZE {name}")

    def _subscribe(self) -> None:
        """Changes from the copy's snapshot on. The password is in its file, not in the catalogue,
        which every backup has."""
        self._unsubscribe()
        conninfo = f"{self.job.source} passfile='{migration.PASSFILE}'"
        self.here.ask(
            f"CREATE SUBSCRIPTION {NAME} CONNECTION {sql_literal(conninfo)} PUBLICATION {NAME} "
            f"WITH (create_slot = false, slot_name = {sql_literal(self.job.slot)}, "
            "copy_data = false, streaming = on)"
        )

    def _unsubscribe(self) -> None:
        unsubscribe(self.here)


def _holder(job: Job) -> tuple[list[str], str]:
    """The session that holds a snapshot, and what it is told."""
    if not job.slot:
        began = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        return [*PSQL, "-d", job.source], f"{SESSION}{began};\nSELECT pg_export_snapshot();\n"
    # The form that every version from 11 to 17 understands.
    made = f"CREATE_REPLICATION_SLOT {identifier(job.slot)} LOGICAL pgoutput EXPORT_SNAPSHOT;\n"
    return [*PSQL, "-d", f"{job.source} replication=database"], made


def unsubscribe(here: Server) -> None:
    """Remove the subscription, if it is there. Its slot at the source stays: whoever made it
    removes it."""
    found = here.ask(
        f"SELECT count(*) FROM pg_subscription WHERE subname = '{NAME}' AND subdbid = "
        "(SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    if found != "0":
        here.ask(f"ALTER SUBSCRIPTION {NAME} DISABLE")
        here.ask(f"ALTER SUBSCRIPTION {NAME} SET (slot_name = NONE)")
        here.ask(f"DROP SUBSCRIPTION {NAME}")


def drop_slot(source: Server, slot: str) -> None:
    """Remove a slot of the source, whoever still reads from it."""
    name = sql_literal(slot)
    source.ask(
        f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
        f"WHERE slot_name = {name} AND active"
    )
    for attempt in range(20):
        try:
            source.ask(
                f"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                f"WHERE slot_name = {name}"
            )
            return
        except Failed as failed:
            if attempt == 19 or "is active" not in str(failed):
                raise
            time.sleep(0.25)


def set_sequences(source: Server, here: Server, schemas: Sequence[str]) -> int:
    """Give every sequence here the source's value; how many there are."""
    names: list[str] = source.value(
        "SELECT coalesce(json_agg(format('%I.%I', nspname, relname)), '[]') "
        "FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        f"WHERE relkind = 'S' AND relpersistence <> 't' AND {_not_of(schemas)} AND {_NO_MEMBER}"
    )
    if not names:
        return 0
    each = "\nUNION ALL ".join(
        f"SELECT {sql_literal(name)} AS name, last_value, is_called FROM {name}" for name in names
    )
    values = source.value(f"SELECT json_agg(s) FROM ({each}) s")
    here.ask(
        "\n".join(
            f"SELECT setval({sql_literal(v['name'])}, {v['last_value']}, {v['is_called']});"
            for v in values
        )
    )
    return len(values)


_NO_MEMBER = """NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
  AND d.objid = c.oid AND d.deptype = 'e')"""


def _not_of(schemas: Iterable[str]) -> str:
    """In SQL: the schema is not PostgreSQL's own nor one of these."""
    listed = "".join(f", {sql_literal(name)}" for name in schemas)
    return f"nspname !~ '^pg_' AND nspname NOT IN ('information_schema'{listed})"


def _tables_of(job: Job) -> str:
    generated = "AND attgenerated = ''" if job.version >= 120000 else ""
    return f"""
SELECT coalesce(json_agg(json_build_object(
  'oid', c.oid::bigint, 'name', format('%I.%I', nspname, relname),
  'bytes', pg_table_size(c.oid), 'blocks', pg_relation_size(c.oid) / {BLOCK_BYTES},
  'columns', (SELECT coalesce(json_agg(quote_ident(attname) ORDER BY attnum), '[]')
    FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped {generated})
)), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND relpersistence <> 't' AND {_not_of(job.schemas)} AND {_NO_MEMBER}
"""


# Nothing of anybody's is in the database.
EMPTY = f"""
SELECT NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE {_not_of(())} AND {_NO_MEMBER})
"""
