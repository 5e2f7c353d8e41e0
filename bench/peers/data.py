"""The sets of data that everything is measured on, and how a twentieth of each changes. Pure."""

# ruff: noqa: S608 - what is put into the statements are numbers and names of this file

from dataclasses import dataclass

# A small table and its index: pages of 8 KiB, one and two.
_KB_PER_TABLE = 24
_MOST_TABLES = 10_000
_KB_PER_ROW = {"documents": 0.75, "incompressible": 2.1, "growing": 0.25}
_PGBENCH_MB_PER_SCALE = 15


@dataclass(frozen=True)
class DataSet:
    """`fill` makes it in an empty database and `change` changes a twentieth of it, both by psql
    from standard input; `change` may run again and again. `scale` is pgbench's, 0 without it."""

    name: str
    fill: str
    change: str
    scale: int = 0


def sets(megabytes: int) -> tuple[DataSet, ...]:
    """The sets, about `megabytes` (10**6 bytes) in all, each with the same share."""
    share = megabytes / 5
    documents, noise, growing = (max(1000, int(share * 1000 / kb)) for kb in _KB_PER_ROW.values())
    tables = max(20, min(_MOST_TABLES, int(share * 1000 / _KB_PER_TABLE)))
    scale = max(1, round(share / _PGBENCH_MB_PER_SCALE))
    return (
        DataSet(
            "pgbench",
            "",
            f"UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid <= {scale * 5000};\n",
            scale,
        ),
        DataSet("documents", _documents(documents), _touch("documents", "at = now()", documents)),
        DataSet(
            "incompressible",
            _noise(noise),
            _touch("noise", "payload = substr(payload, 2) || substr(payload, 1, 1)", noise),
        ),
        DataSet("many tables", _many(tables), _touch_many(tables)),
        DataSet("one growing table", _growing(growing), _growing_on(growing)),
    )


def _touch(table: str, assignment: str, rows: int) -> str:
    return f"UPDATE {table} SET {assignment} WHERE id <= {rows // 20};\n"


def _documents(rows: int) -> str:
    return f"""
CREATE TABLE documents (id int PRIMARY KEY, body jsonb NOT NULL, at timestamptz NOT NULL);
INSERT INTO documents SELECT i, jsonb_build_object('name', md5(i::text), 'tags',
  jsonb_build_array(i % 7, md5((i % 1000)::text)), 'note', repeat(md5((i * 7)::text), 6)),
  timestamptz '2026-01-01' + i * interval '1 s' FROM generate_series(1, {rows}) AS i;
CREATE INDEX ON documents (at);
CREATE INDEX ON documents ((body ->> 'name'));
"""


def _noise(rows: int) -> str:
    return f"""
CREATE EXTENSION pgcrypto;
CREATE TABLE noise (id int PRIMARY KEY, payload bytea NOT NULL);
ALTER TABLE noise ALTER payload SET STORAGE PLAIN;
INSERT INTO noise SELECT i, gen_random_bytes(1000) || gen_random_bytes(900)
  FROM generate_series(1, {rows}) AS i;
"""


def _many(tables: int) -> str:
    # A transaction for some, or their locks would not fit.
    return f"""
DO $$ BEGIN
  FOR i IN 1..{tables} LOOP
    EXECUTE format('CREATE TABLE small_%s (id int PRIMARY KEY, note text)', i);
    EXECUTE format('INSERT INTO small_%s VALUES (1, md5(%L))', i, i);
    IF i % 200 = 0 THEN COMMIT; END IF;
  END LOOP;
END $$;
"""


def _touch_many(tables: int) -> str:
    return f"""
DO $$ BEGIN
  FOR i IN 1..{tables // 20} LOOP
    EXECUTE format('UPDATE small_%s SET note = md5(note)', i);
    IF i % 200 = 0 THEN COMMIT; END IF;
  END LOOP;
END $$;
"""


def _growing(rows: int) -> str:
    return f"""
CREATE TABLE growing (id bigint, at timestamptz, reading text);
INSERT INTO growing SELECT i, timestamptz '2026-01-01' + i * interval '1 s',
  repeat(md5(i::text), 6) FROM generate_series(1, {rows}) AS i;
"""


def _growing_on(rows: int) -> str:
    return f"""
INSERT INTO growing SELECT i, now(), repeat(md5(i::text), 6)
  FROM generate_series(1, {rows // 20}) AS i;
"""
