# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""Rows by COPY, from the source's client into ours, table by table and large tables in parts."""

from collections.abc import Iterable
from dataclasses import dataclass

from host.domain.quoting import sql_literal
from ops.onmachine.migration import sessions
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.sessions import NAME, PSQL, SESSION, Failed

# A part of a large table: what is done again after an interruption.
PART_BYTES = 1 << 30
BLOCK_BYTES = 8192
# Ranges of ctid are found without reading the whole table since this version.
TID_RANGES_SINCE = 140000


@dataclass(frozen=True)
class Table:
    """One of the source: `name` is as SQL writes it, `plain` without quotes. `columns` are those
    that a COPY has, as SQL writes them. Of an extension's own table, rows that meet the `condition`
    that it has declared (a WHERE, or nothing) are the user's."""

    oid: int
    name: str
    plain: str
    columns: tuple[str, ...]
    bytes: int
    blocks: int
    condition: str | None = None

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
        if number == 1 or table.condition is not None or version < TID_RANGES_SINCE:
            found.append(Part(table, 0, table.bytes))
            continue
        step = table.blocks // number + 1
        for part in range(number):
            last = None if part == number - 1 else (part + 1) * step
            found.append(Part(table, part + 1, table.bytes // number, part * step, last))
    return found


def tables(job: Job, snapshot: str = "") -> list[Table]:
    """Those of the source, as they are or were in the snapshot. Raises Failed."""
    found = job.there.value(f"{_reading(snapshot)}{_tables_of(job)}")
    return [
        Table(
            each["oid"],
            each["name"],
            each["plain"],
            tuple(each["columns"]),
            each["bytes"],
            each["blocks"],
            each["condition"],
        )
        for each in found
    ]


def _reading(snapshot: str) -> str:
    taken = f"SET TRANSACTION SNAPSHOT {sql_literal(snapshot)};\n" if snapshot else ""
    return f"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n{taken}"


def sending(part: Part, snapshot: str) -> str:
    """The SQL by which the source sends the rows of a part, as they are or were in the snapshot."""
    columns = ", ".join(part.table.columns)
    rows = part.table.target
    if part.table.condition:
        rows = f"(SELECT {columns} FROM ONLY {part.table.name} {part.table.condition})"
    elif part.number:
        until = "" if part.last is None else f" AND ctid < '({part.last},0)'"
        rows = (
            f"(SELECT {columns} FROM ONLY {part.table.name} "
            f"WHERE ctid >= '({part.first},0)'{until})"
        )
    return f"{SESSION}{_reading(snapshot)}COPY {rows} TO STDOUT;\nCOMMIT;\n"


def receiving(part: Part, program: str) -> str:
    """The SQL by which they arrive here, with their mark, or not at all. A whole table is emptied
    in the same transaction, so that its rows are frozen as they come."""
    if part.table.condition is not None:
        return replacing(part, program, marking(part.mark))
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


def replacing(part: Part, program: str, then: str = "") -> str:
    """The SQL by which they take the place of what a table has here, which may be referred to by
    others: no trigger fires. `then` is done in the same transaction."""
    return f"""
SET session_replication_role = replica;
BEGIN;
DELETE FROM ONLY {part.table.name} {part.table.condition or ""};
\\copy {part.table.target} from program '{program}'
{then}
COMMIT;
"""


def _tables_of(job: Job) -> str:
    generated = "AND attgenerated = ''" if job.version >= 120000 else ""
    return f"""
SELECT coalesce(json_agg(json_build_object(
  'oid', c.oid::bigint, 'name', format('%I.%I', nspname, relname),
  'plain', nspname || '.' || relname,
  'condition', (SELECT coalesce(extcondition[array_position(extconfig, c.oid)], '')
    FROM pg_extension WHERE c.oid = ANY (extconfig)),
  'bytes', pg_table_size(c.oid), 'blocks', pg_relation_size(c.oid) / {BLOCK_BYTES},
  'columns', (SELECT coalesce(json_agg(quote_ident(attname) ORDER BY attnum), '[]')
    FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped {generated})
)), '[]')
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind = 'r' AND relpersistence <> 't'
  AND {sessions.not_of(job.schemas)} AND ({sessions.NO_MEMBER}
    OR EXISTS (SELECT FROM pg_extension WHERE c.oid = ANY (extconfig) AND NOT extname = ANY (
      {sessions.names(job.extensions)})))
"""


def transfer(job: Job, part: Part, snapshot: str, worker: int, *, again: bool = False) -> None:
    """Bring a part over, all of it or nothing: where the source's client fails, which psql here
    runs as a program, nothing is committed. `again`: over what an earlier copy has brought. Raises
    Failed."""
    program, question, source = (
        job.folder / f"{name}-{worker}" for name in ("send", "question", "source")
    )
    source.write_text(job.source)
    question.write_text(sending(part, snapshot))
    words = " ".join([*PSQL, "-d", f'"$(cat {source})"', "-f", str(question)])
    program.write_text(f"exec {words}\n")
    receive = replacing if again else receiving
    done = job.here.run([*PSQL, "-d", job.here.conninfo], receive(part, f"sh {program}"))
    if done.returncode:
        raise Failed(f"{part.table.name}: {sessions.said(done.stderr)}")
