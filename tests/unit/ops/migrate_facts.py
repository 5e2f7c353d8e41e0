"""A source and this server as they answer, with as little in them as can be."""

from typing import Any

from ops.migrate.address import Address
from ops.migrate.facts import Facts
from ops.migrate.model import Room

GIB = 2**30
ADDRESS = Address("old.example.org", 5432, "postgres", "dbadmin", "require")
LISTS = (
    *("partitioned", "foreign_tables", "materialized_views", "unlogged", "without_key"),
    *("of_two_lines",),
    *("identity_columns", "generated_columns", "triggers", "event_triggers", "publications"),
    *("subscriptions", "row_security", "invalid_indexes", "text_indexes", "text_partitions"),
    *("superuser_objects", "schemas", "unreadable", "hidden", "extensions", "collations"),
    *("owners_of_unreadable", "followed", "owners_of_others"),
)


def role(name: str, **changed: Any) -> dict[str, Any]:
    attributes = dict.fromkeys(("superuser", "replication", "bypass_rls", "entra"), False)
    return {"name": name, "login": True, "member_of": [], **attributes, **changed}


def database(name: str, **changed: Any) -> dict[str, Any]:
    """As the server lists it."""
    return {
        "name": name,
        "oid": 16384,
        "owner": "dbadmin",
        "encoding": "UTF8",
        "collate": "en_US.UTF-8",
        "ctype": "en_US.UTF-8",
        "provider": "c",
        "locale": changed.get("collate", "en_US.UTF-8"),
        "open": True,
        "connect": True,
        "size_bytes": GIB,
        **changed,
    }


def content(**changed: Any) -> dict[str, Any]:
    """What is in one."""
    counts = {"tables": 1, "sequences": 0, "views": 0}
    counts |= {"large_objects": 0, "unreadable_large_objects": 0, "later_bytes": 0}
    return {**counts, **{name: [] for name in LISTS}, **changed}


def server(**changed: Any) -> dict[str, Any]:
    """A Flexible Server of version 15 that can be copied and followed."""
    return {
        "version": "15.13",
        "number": 150013,
        "tls": "TLSv1.3",
        "in_recovery": False,
        "superuser": False,
        "replication": True,
        "ends_sessions": True,
        "wal_level": "logical",
        "free_slots": 10,
        "settings": {"max_connections": "100", "TimeZone": "UTC"},
        "databases": [database("azure_maintenance", connect=False), database("shop")],
        "roles": [
            role("azure_pg_admin", login=False),
            role("azuresu", superuser=True),
            role("dbadmin", member_of=["azure_pg_admin"]),
        ],
        "slots": [],
        "blockers": [],
        **changed,
    }


def here(**changed: Any) -> dict[str, Any]:
    """This server."""
    return {
        "version": "17.6",
        "number": 170006,
        "settings": {"max_connections": "200", "TimeZone": "Etc/UTC"},
        "databases": ["postgres", "app"],
        "closed": ["template0"],
        "roles": ["postgres", "barman", "streaming_barman", "prometheus", "app", "pg_monitor"],
        "owning": ["postgres"],
        "extensions": {"pg_trgm": "1.6"},
        "collations": ["C", "de-x-icu", "C.utf8"],
        "locales": ["C", "C.utf8", "POSIX", None],
        "kept_wal_bytes": GIB,
        "apply_workers": 4,
        **changed,
    }


def facts(**changed: Any) -> Facts:
    """Nothing speaks against it, unless something is changed."""
    room = (
        Room(machine="postgres-lab", needed_bytes=2 * GIB, free_bytes=100 * GIB),
        Room(machine="barman-lab", needed_bytes=GIB, free_bytes=100 * GIB),
    )
    given: dict[str, Any] = {
        "address": ADDRESS,
        "server": server(),
        "contents": {"shop": content()},
        "shut": (),
        "closed": (),
        "here": here(),
        "occupied": frozenset(),
        "machine": "postgres-lab",
        "room": room,
    }
    return Facts(**given | changed)
