# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""Transactions of this server written at the source, each with the position in WAL that it has."""

from host.domain.wal import parse_lsn, show_lsn
from ops.onmachine.migration import replay, sessions, way_back
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.pgoutput import (
    Begin,
    Commit,
    Delete,
    Insert,
    Message,
    Relation,
    Truncate,
    Update,
)
from ops.onmachine.migration.replay import Target
from ops.onmachine.migration.sessions import SESSION, WRITE, Failed
from ops.onmachine.migration.streams import Psql

# Sent at once: each waits for the way there and back.
_STATEMENTS, _CHARACTERS = 200, 1 << 20
# No trigger fires there: what triggers have done here comes as rows of its own. A session whose
# client is gone without a word must not keep its locks.
_BEGINNING = f"""{SESSION}{WRITE}\
SET session_replication_role = replica;
SET standard_conforming_strings = on;
SET client_min_messages = error;
SET tcp_keepalives_idle = 10;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3;
SET idle_in_transaction_session_timeout = '60s';
"""


class Writer:
    """One session at the source of a job."""

    def __init__(self, job: Job) -> None:
        """Ask the source how far it is, and what its tables are like. Raises Failed."""
        found = job.there.value(_KNOWN)
        self._position = parse_lsn(found["position"])
        self._targets = {
            (each["schema"], each["table"]): Target(each["types"], each["key"], each["always"])
            for each in found["tables"]
        }
        self._relations: dict[int, Relation] = {}
        self._there_already = False
        self._end = 0
        self._statements: list[str] = []
        self._characters = 0
        self._psql = Psql(job.there, read=False)
        self._psql.send(_BEGINNING)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        """A transaction that was not ended is rolled back."""
        self._psql.__exit__()

    def take(self, message: Message) -> None:
        """The next message. Raises Failed, pgoutput.Unreadable."""
        if isinstance(message, Relation):
            self._relations[message.oid] = message
        elif isinstance(message, Begin):
            self._there_already = message.lsn <= self._position
            if not self._there_already:
                self._add("BEGIN")
                self._add(_moving(self._position, message.lsn))
                self._position = message.lsn
        elif isinstance(message, Commit):
            if not self._there_already:
                self._add("COMMIT")
            self._end = message.end
        elif not self._there_already:
            self._add(self._sql(message))

    def finish(self) -> str:
        """All that came is committed there; where WAL goes on behind it. Raises Failed."""
        self._send()
        self._psql.finish()
        return show_lsn(self._end)

    def _sql(self, change: Insert | Update | Delete | Truncate) -> str:
        if isinstance(change, Truncate):
            return replay.truncate([self._relations[oid] for oid in change.oids], change)
        relation = self._relations[change.oid]
        target = self._targets.get((relation.schema, relation.table))
        if target is None:
            raise Failed(f"{replay.table(relation)} is not at the source")
        if isinstance(change, Insert):
            return replay.insert(relation, change)
        if isinstance(change, Update):
            return replay.update(relation, target, change)
        return replay.delete(relation, target, change)

    def _add(self, statement: str) -> None:
        self._statements.append(statement)
        self._characters += len(statement)
        if len(self._statements) >= _STATEMENTS or self._characters > _CHARACTERS:
            self._send()

    def _send(self) -> None:
        if self._statements:
            # \; has psql send them as one message.
            self._psql.send("\\;\n".join(self._statements) + ";\n")
            self._statements, self._characters = [], 0


def _moving(before: int, after: int) -> str:
    """The statement by which a transaction begins. Another session that writes, left over from a
    program that was killed, is waited for here; where it has come further, this fails."""
    changed = (
        f"UPDATE {way_back.POSITION} SET lsn = '{show_lsn(after)}' "
        f"WHERE lsn = '{show_lsn(before)}' RETURNING 1"
    )
    return replay.checked(way_back.POSITION, f"done AS ({changed})")


_KNOWN = f"""
SELECT json_build_object(
  'position', (SELECT lsn FROM {way_back.POSITION}),
  'tables', (SELECT coalesce(json_agg(json_build_object('schema', nspname, 'table', relname,
      'types', (SELECT coalesce(json_object_agg(attname, format_type(atttypid, atttypmod)), '{{}}')
        FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
      'always', (SELECT coalesce(json_agg(attname), '[]') FROM pg_attribute
        WHERE attrelid = c.oid AND attnum > 0 AND attidentity = 'a'),
      'key', (SELECT coalesce(json_agg(attname), '[]') FROM pg_attribute JOIN pg_index
        ON indrelid = attrelid AND attnum = ANY (indkey)
        WHERE attrelid = c.oid AND indisprimary))), '[]')
    FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE relkind = 'r' AND relpersistence = 'p' AND {sessions.not_of(())})
)
"""
