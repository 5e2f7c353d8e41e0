# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""Changes of rows as the SQL that makes them at another server. Pure.

Each statement of one row fails where it does not find exactly that row: what differs is not passed
over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from host.domain.quoting import identifier, sql_literal
from ops.onmachine.migration.pgoutput import (
    Delete,
    Insert,
    Relation,
    Row,
    Truncate,
    Unchanged,
    Unreadable,
    Update,
)


@dataclass(frozen=True)
class Target:
    """A table where changes go to: column -> its type as SQL writes it, the columns of its primary
    key, and those that are GENERATED ALWAYS AS IDENTITY."""

    types: Mapping[str, str]
    key: Sequence[str]
    always: Sequence[str]


def table(relation: Relation) -> str:
    """As SQL writes its name."""
    return f"{identifier(relation.schema)}.{identifier(relation.table)}"


def insert(relation: Relation, change: Insert) -> str:
    """A new row."""
    values = _given(relation, change.row)
    if not values:
        return f"INSERT INTO {table(relation)} DEFAULT VALUES"
    names = ", ".join(map(identifier, values))
    return (
        f"INSERT INTO {table(relation)} ({names}) OVERRIDING SYSTEM VALUE "
        f"VALUES ({', '.join(map(_literal, values.values()))})"
    )


def update(relation: Relation, target: Target, change: Update) -> str:
    """A row changed; values that were not sent stay."""
    old = change.row if change.old is None else change.old
    values = _given(relation, change.row)
    where = _where(relation, target, old)
    before = dict(zip(relation.columns, old, strict=True))
    for name in target.always:
        # It cannot be set; where it is as it was it need not be.
        known = name in relation.key and (change.old is None or before[name] == values.get(name))
        if known:
            values.pop(name, None)
    if not values:
        return checked(table(relation), f"done AS (SELECT FROM ONLY {table(relation)} {where})")
    if any(name in values for name in target.always):
        return _replacing(relation, values, where)
    setting = ", ".join(f"{identifier(n)} = {_literal(v)}" for n, v in values.items())
    changed = f"UPDATE ONLY {table(relation)} SET {setting} {where} RETURNING 1"
    return checked(table(relation), f"done AS ({changed})")


def delete(relation: Relation, target: Target, change: Delete) -> str:
    """A row removed."""
    where = _where(relation, target, change.old)
    removed = f"DELETE FROM ONLY {table(relation)} {where} RETURNING 1"
    return checked(table(relation), f"done AS ({removed})")


def truncate(relations: Sequence[Relation], change: Truncate) -> str:
    """Tables emptied, as they were emptied."""
    names = ", ".join(f"ONLY {table(each)}" for each in relations)
    return f"TRUNCATE {names}{' CASCADE' if change.cascade else ''}"


def _given(relation: Relation, row: Row) -> dict[str, str | None]:
    if len(row) != len(relation.columns):
        raise Unreadable(f"a row of {table(relation)} has {len(row)} columns")
    pairs = zip(relation.columns, row, strict=True)
    return {name: value for name, value in pairs if not isinstance(value, Unchanged)}


def _literal(value: str | None) -> str:
    return "NULL" if value is None else sql_literal(value)


def _where(relation: Relation, target: Target, row: Row) -> str:
    """The condition that finds a row by its key; a whole row, which may be there more than once,
    by its place."""
    values = _given(relation, row)
    key = relation.key
    if relation.full:
        if not target.key:
            same = " AND ".join(_same(name, values[name], target) for name in relation.columns)
            return (
                f"WHERE ctid = (SELECT ctid FROM ONLY {table(relation)} WHERE {same} "
                "ORDER BY ctid LIMIT 1)"
            )
        key = tuple(target.key)
    if not key or any(values.get(name) is None for name in key):
        raise Unreadable(f"a row of {table(relation)} came without its key")
    return "WHERE " + " AND ".join(f"{identifier(n)} = {_literal(values[n])}" for n in key)


def _same(name: str, value: str | None, target: Target) -> str:
    """That a column has this value, for types without an operator for it, too: both are written
    by the one server, however another version writes them."""
    if value is None:
        return f"{identifier(name)} IS NULL"
    return f"{identifier(name)}::text = ({sql_literal(value)}::{target.types[name]})::text"


def checked(what: str, done: str) -> str:
    """A statement with `done`, a CTE of that name with the rows that it changes, which fails where
    that is not one row. The cast that fails is how SQL says something of one's own."""
    wrong = sql_literal(f" rows of {what} where one was to be changed")
    return (
        f"WITH {done} "
        f"SELECT CASE count(*) WHEN 1 THEN 1 ELSE (count(*) || {wrong})::int END FROM done"
    )


def _replacing(relation: Relation, values: Mapping[str, str | None], where: str) -> str:
    """A row in the place of another one, where a value that is ALWAYS generated has changed."""
    names = ", ".join(map(identifier, relation.columns))
    new = ", ".join(
        _literal(values[name]) if name in values else f"gone.{identifier(name)}"
        for name in relation.columns
    )
    return checked(
        table(relation),
        f"gone AS (DELETE FROM ONLY {table(relation)} {where} RETURNING *), "
        f"done AS (INSERT INTO {table(relation)} ({names}) OVERRIDING SYSTEM VALUE "
        f"SELECT {new} FROM gone RETURNING 1)",
    )
