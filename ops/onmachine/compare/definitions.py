"""The definitions of a database on both sides, by pg_dump of this machine's version."""

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from host.domain.quoting import identifier
from ops.onmachine.compare import entries, scratch
from ops.onmachine.compare.entries import Entries
from ops.onmachine.compare.session import Both, Place

# Grants and owners are compared; where on the disk something lies is each server's own.
_OPTIONS = (
    *("-Fc", "--schema-only", "--no-tablespaces", "--no-table-access-method"),
    *("--no-subscriptions", "--lock-wait-timeout=300s"),
)


def compare(
    places: Both[Place],
    database: str,
    roles: Iterable[str],
    schemas: Sequence[str],
    tables: Sequence[tuple[str, str]],
) -> dict[str, Any]:
    """{entries: how many, differences}. `schemas` and `tables` are left out, `roles` are those of
    the source. Raises Refused."""
    without = [f"--exclude-schema={identifier(name)}" for name in schemas]
    without += [
        f"--exclude-table={identifier(schema)}.{identifier(name)}" for schema, name in tables
    ]
    with tempfile.TemporaryDirectory(prefix="compare-", dir=scratch.FOLDER) as folder:
        shutil.chown(folder, places.here.account)
        archive = Path(folder) / "source"
        there = _entries(places.source, database, without, archive)
        ours = _entries(places.here, database, without, Path(folder) / "here")
        found = entries.differences(there, ours)
        if found:
            read = _read_here(places.here, database, roles, without, archive)
            found = entries.differences(there, ours, read)
    return {"entries": len(there.keys() | ours.keys()), "differences": found}


def _entries(place: Place, database: str, without: Sequence[str], archive: Path) -> Entries:
    place.run("pg_dump", *_OPTIONS, *without, "-f", str(archive), "-d", place.database(database))
    return entries.parse(place.run("pg_restore", "--no-tablespaces", "-f", "-", str(archive)))


def _read_here(
    place: Place, database: str, roles: Iterable[str], without: Sequence[str], archive: Path
) -> Entries:
    """The source's entries once this version has read them."""
    with scratch.server(place, roles) as server:
        scratch.read(server, database, str(archive))
        return _entries(server, database, without, archive.with_name("read"))
