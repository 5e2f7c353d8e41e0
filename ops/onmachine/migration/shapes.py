# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""The shape of a source's tables: DDL is not followed, so it has to be noticed."""

import json
from collections.abc import Sequence
from pathlib import Path

from ops.onmachine.migration import sessions
from ops.onmachine.migration.sessions import Server


def of(source: Server, schemas: Sequence[str]) -> dict[str, str]:
    """Digest of columns, constraints and indexes of each table, view and sequence. Raises
    sessions.Failed."""
    return source.value(f"""
SELECT coalesce(json_object_agg(format('%I.%I', nspname, relname), md5(concat_ws('\n', relkind,
  (SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull,
      attidentity, pg_get_expr(adbin, adrelid)), ',' ORDER BY attnum)
    FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
    WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
  (SELECT string_agg(pg_get_constraintdef(k.oid), ',' ORDER BY conname)
    FROM pg_constraint k WHERE conrelid = c.oid),
  (SELECT string_agg(pg_get_indexdef(indexrelid), ',' ORDER BY indexrelid)
    FROM pg_index WHERE indrelid = c.oid AND indisvalid)))), '{{}}')
FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
WHERE relkind IN ('r', 'p', 'v', 'm', 'S') AND relpersistence <> 't'
  AND {sessions.not_of(schemas)} AND {sessions.NO_MEMBER}
""")


def keep(source: Server, folder: Path, schemas: Sequence[str]) -> None:
    """Write them down as they are now."""
    (folder / "shapes.json").write_text(json.dumps(of(source, schemas)))


def changed(source: Server, folder: Path, schemas: Sequence[str]) -> list[str]:
    """What is no longer as it was when they were kept, by name."""
    before, now = json.loads((folder / "shapes.json").read_text()), of(source, schemas)
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
