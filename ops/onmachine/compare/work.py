"""The whole comparison, one database after the other. Prints one JSON object: what differs, as it
was found; what that means, ops/migrate says."""

import json
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

from ops.onmachine.compare import definitions, listing, rows
from ops.onmachine.compare.progress import Progress
from ops.onmachine.compare.rows import Table
from ops.onmachine.compare.session import Both, Pair, Place, Refused

# Tables read at the same time, each by one session a side.
_SESSIONS = 4
# Smaller ones are read whole, whatever the sample.
LARGE_BYTES = 2**30
_SEQUENCES = 200
_EXACT_TEXT_SINCE = 120000

Named = Mapping[tuple[str, str], Mapping[str, Any]]


class Request(NamedTuple):
    """What to compare: `source` and `here` are connection strings without a password. `tables` are
    [schema, name], all of them when null; with a list nothing else is compared. `percent` of the
    rows of large tables are read. `progress` is a path, or empty; `passfile`, too, is removed at
    the end."""

    source: str
    here: str
    binaries: str
    account: str
    databases: list[str]
    schemas: str
    tables: list[list[str]] | None
    percent: float
    progress: str
    passfile: str


def main(request: dict[str, Any]) -> None:
    os.umask(0o077)
    asked = Request(**request)
    places = Both(
        Place(asked.source, asked.binaries, asked.account),
        Place(asked.here, asked.binaries, asked.account),
    )
    try:
        print(json.dumps(compare(asked, places)))
    finally:
        if asked.passfile:
            Path(asked.passfile).unlink(missing_ok=True)


def compare(asked: Request, places: Both[Place]) -> dict[str, Any]:
    """{began, ended, server, databases}; what could not be compared is in `unread`, with the
    reason. Raises nothing: a server that cannot be reached is a reason, too."""
    began = _now()
    progress = Progress(Path(asked.progress) if asked.progress else None)
    server: dict[str, Any] = {}
    if asked.tables is None:
        server = _tried(lambda: _server(places, asked.databases[0]))
    roles = server["source"]["roles"] if "source" in server else []
    databases = {
        name: _tried(lambda name=name: _database(asked, places, name, list(roles), progress))
        for name in asked.databases
    }
    return {"began": began, "ended": _now(), "server": server, "databases": databases}


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _tried(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` finds, or {failed: the reason}."""
    try:
        return work()
    except Refused as error:
        return {"failed": str(error)}


def _server(places: Both[Place], database: str) -> dict[str, Any]:
    pair = Pair(places, database)
    try:
        return {side: rows[0] for side, rows in pair.ask(listing.SERVER)._asdict().items()}
    finally:
        pair.close()


def _database(
    asked: Request, places: Both[Place], name: str, roles: list[str], progress: Progress
) -> dict[str, Any]:
    pair = Pair(places, name)
    try:
        about = Both(*(found[0] for found in pair.ask(listing.database(asked.schemas))))
        tables = _named(pair, listing.tables(asked.schemas))
        found: dict[str, Any] = {"about": about._asdict(), "unread": []}
        if asked.tables is None:
            found["sequences"] = _sequences(pair, asked.schemas, found["unread"])
            undescribed = _undescribed(pair, asked.schemas)
            found["unread"] += [
                ["definition of", *table, "its user may not read it"] for table in undescribed
            ]
            schemas = sorted({*about.source["schemas"], *about.here["schemas"]})
            found["definitions"] = _tried(
                lambda: definitions.compare(places, name, roles, schemas, undescribed)
            )
            found["large_objects"] = _tried(lambda: rows.compare(_large_objects(), pair.ask))
    finally:
        pair.close()
    wanted = None if asked.tables is None else {(schema, table) for schema, table in asked.tables}
    found["tables"] = _tables(asked, places, name, about, tables, wanted, progress)
    return found


def _named(pair: Pair, sql: str) -> Both[Named]:
    return Both(*({(row["schema"], row["name"]): row for row in found} for found in pair.ask(sql)))


def _undescribed(pair: Pair, schemas: str) -> list[tuple[str, str]]:
    found = pair.ask(listing.undescribed(schemas))
    return sorted({(schema, name) for side in found for schema, name in side})


def _sequences(pair: Pair, schemas: str, unread: list[list[str]]) -> dict[str, Any]:
    """{count, differences: [schema, name, source, here]}."""
    listed = _named(pair, listing.sequences(schemas))
    both = sorted(listed.source.keys() & listed.here.keys())
    readable = [
        name for name in both if listed.source[name]["readable"] and listed.here[name]["readable"]
    ]
    unread += [
        ["sequence", *name, "its user may not read it"] for name in set(both) - set(readable)
    ]
    differing = []
    for portion in listing.some_of(readable, _SEQUENCES):
        source, here = (
            {(schema, name): value for schema, name, *value in rows}
            for rows in pair.ask(listing.values(portion))
        )
        differing += [
            [*name, source[name], here[name]] for name in portion if source[name] != here[name]
        ]
    return {"count": len(readable), "differences": differing}


def _large_objects() -> Table:
    columns = tuple(f"t.{name}" for name in listing.LARGE_OBJECT_COLUMNS)
    return Table(listing.LARGE_OBJECTS, columns, columns[:1], listing.LARGE_OBJECT_COLUMNS[:1])


def _tables(
    asked: Request,
    places: Both[Place],
    database: str,
    about: Both[Mapping[str, Any]],
    tables: Both[Named],
    wanted: set[tuple[str, str]] | None,
    progress: Progress,
) -> list[dict[str, Any]]:
    """The largest first, several at the same time."""
    names = tables.source.keys() | tables.here.keys() if wanted is None else wanted
    sizes = {
        name: max(side[name]["bytes"] if name in side else 0 for side in tables) for name in names
    }
    progress.expect(sum(sizes.values()), len(names))
    count = min(_SESSIONS, max(len(names), 1))
    idle: SimpleQueue[Pair] = SimpleQueue()
    for _ in range(count):
        idle.put(Pair(places, database))

    def compared(name: tuple[str, str]) -> dict[str, Any]:
        pair = idle.get()
        try:
            found = _tried(lambda: _table(asked, about, tables, name, pair))
            if "failed" in found:
                # The connection may be what failed.
                pair.close()
                pair = Pair(places, database)
        finally:
            idle.put(pair)
        progress.done(sizes[name])
        return {"schema": name[0], "name": name[1], "bytes": sizes[name], **found}

    try:
        with ThreadPoolExecutor(count) as threads:
            ordered = sorted(names, key=lambda name: (-sizes[name], name))
            return list(threads.map(compared, ordered))
    finally:
        while not idle.empty():
            idle.get().close()


def _table(
    asked: Request,
    about: Both[Mapping[str, Any]],
    tables: Both[Named],
    name: tuple[str, str],
    pair: Pair,
) -> dict[str, Any]:
    """What `rows.compare` finds; {missing: sides} where it is not there."""
    missing = [side for side, named in tables._asdict().items() if name not in named]
    if missing:
        return {"missing": missing}
    both = Both(tables.source[name], tables.here[name])
    if not both.source["populated"] and not both.here["populated"]:
        return {"rows": [0, 0], "equal": True, "sampled": False}
    unpopulated = [side for side, table in both._asdict().items() if not table["populated"]]
    if unpopulated:
        return {"unpopulated": unpopulated}
    columns = Both(*([column[0] for column in table["columns"]] for table in both))
    found = rows.compare(_of(asked, about, both, name), pair.ask)
    found["view"] = both.source["view"]
    only = {
        "source": sorted(set(columns.source) - set(columns.here)),
        "here": sorted(set(columns.here) - set(columns.source)),
    }
    return {**found, "columns": only} if columns.source != columns.here else found


def _of(
    asked: Request,
    about: Both[Mapping[str, Any]],
    both: Both[Mapping[str, Any]],
    name: tuple[str, str],
) -> Table:
    """How its rows are read: by the columns and the key that both sides have."""
    plain = min(side["number"] for side in about) >= _EXACT_TEXT_SINCE
    here = {column[0] for column in both.here["columns"]}
    sends = {
        column: None if plain else send for column, send in both.source["columns"] if column in here
    }
    key = both.source["key"] or []
    if not set(key) <= sends.keys():
        key = []
    relation = f"ONLY {listing.relation(*name)}"
    if condition := both.source["condition"]:
        relation = f"(SELECT * FROM {relation} {condition})"  # noqa: S608 - the extension's own
    large = both.source["bytes"] >= LARGE_BYTES
    return Table(
        relation=relation,
        columns=tuple(rows.column(column, send) for column, send in sends.items()),
        key=tuple(rows.column(column, sends[column]) for column in key),
        names=tuple(key),
        percent=asked.percent if large else 100,
        recoded=about.source["encoding"] != about.here["encoding"],
    )
