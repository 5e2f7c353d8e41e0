"""What a move has to reckon with, and what following wants of the source first. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from host.domain.quoting import identifier, sql_literal
from ops.migrate import service
from ops.migrate.facts import DEFAULT, Facts
from ops.migrate.model import Finding
from ops.migrate.refusals import some
from ops.screen import size, span

# Orders by bytes, as this server's own collation does in effect.
_BYTEWISE = frozenset({"C", "POSIX", "C.UTF-8", "C.utf8"})


def order_changes(database: Mapping[str, Any]) -> bool:
    """Whether text without a COLLATE of its own sorts otherwise here."""
    return database["provider"] == "i" or (
        database["provider"] == "c" and database["collate"] not in _BYTEWISE
    )


def for_following(facts: Facts) -> list[Finding]:
    """What to change at the source before its changes can be followed."""
    commands = service.commands(facts.service, facts.address.user)
    server, found = facts.server, []
    if server["in_recovery"]:
        found.append(
            Finding(
                text="The source is a read replica; changes are followed from the server that it "
                "replicates.",
                next_command="the same again with that server's host",
            )
        )
    if server["wal_level"] != "logical":
        found.append(
            Finding(
                text=f"wal_level is {server['wal_level']}, not logical. The change restarts the "
                "source.",
                next_command=commands.logical,
            )
        )
    if not server["replication"]:
        found.append(
            Finding(
                text=f"{facts.address.user} may not replicate.",
                next_command=f"{commands.replication}   (at the source)",
            )
        )
    if not server["ends_sessions"]:
        found.append(
            Finding(
                text=f"{facts.address.user} may not see and end every session there; a cutover "
                "does not succeed while one is connected that it may not end.",
                required=False,
                next_command="GRANT pg_read_all_stats, pg_signal_backend TO "
                f"{identifier(facts.address.user)};   (at the source)",
            )
        )
    if server["free_slots"] < len(facts.contents):
        found.append(
            Finding(
                text=f"{server['free_slots']} replication slots are left there, and each database "
                f"needs one: {len(facts.contents)}.",
                next_command=commands.slots,
            )
        )
    found += [_blocker(each) for each in server["blockers"]]
    workers = int(facts.here["apply_workers"])
    if workers < len(facts.contents):
        found.append(
            Finding(
                text=f"This server applies changes of {workers} databases at once, and there are "
                f"{len(facts.contents)}.",
                next_command="pulumi config set --path postgresParameters."
                f"max_logical_replication_workers {len(facts.contents)}, then pulumi up; or "
                "--database …, one move after the other",
            )
        )
    for name, content in facts.contents.items():
        if owners := content["owners_of_others"]:
            found.append(
                Finding(
                    text=f"Only who owns a table may have its changes followed, and "
                    f"{facts.address.user} is no member of {some(owners)}.",
                    database=name,
                    next_command=f"GRANT {', '.join(owners)} TO "
                    f"{identifier(facts.address.user)};   (at the source)",
                )
            )
        if keyless := content["without_key"]:
            more = "" if len(keyless) == 1 else ", and the others; --json names them all"
            found.append(
                Finding(
                    text=f"No key by which UPDATE and DELETE could be followed has "
                    f"{some(keyless)}: the rows are copied at the cutover, while writes have "
                    "stopped; or first",
                    database=name,
                    required=False,
                    next_command=f"ALTER TABLE {keyless[0]} REPLICA IDENTITY FULL;   (at the "
                    f"source{more})",
                )
            )
    return found


def _blocker(blocker: Mapping[str, Any]) -> Finding:
    age = span(blocker["age_s"])
    where = f"in {blocker['database']} of {blocker['role']}"
    if blocker["kind"] == "prepared":
        name = sql_literal(blocker["name"])
        return Finding(
            text=f"The prepared transaction {name} {where} has waited for {age}: a new slot waits "
            "for its end.",
            database=blocker["database"],
            next_command=f"COMMIT PREPARED {name};   (or ROLLBACK PREPARED, in that database)",
        )
    return Finding(
        text=f"A transaction {where} has been open for {age}: a new slot waits for its end.",
        database=blocker["database"],
        next_command=f"SELECT pg_terminate_backend({blocker['name']});   (at the source)",
    )


def warnings(facts: Facts) -> list[Finding]:
    """What nobody is to be surprised by."""
    return [*_of_server(facts), *_of_databases(facts)]


def _of_server(facts: Facts) -> Iterable[Finding]:
    server, here = facts.server, facts.here
    if server["tls"] is None:
        yield Finding(text="The connection is not encrypted; rows would travel as readable text.")
    for name in facts.closed:
        yield Finding(
            text=f"Nobody can connect to the database {name}: it stays where it is.", database=name
        )
    # Per connection: the source's applications may want as many here.
    there, ours = (each["settings"]["max_connections"] for each in (server, here))
    if int(there) > int(ours):
        yield Finding(
            text=f"The source allows {there} connections, this server {ours}.",
            next_command="pulumi config set --path postgresParameters.max_connections …",
        )
    for room in facts.room:
        if room.needed_bytes <= room.free_bytes < 2 * room.needed_bytes:
            yield Finding(
                text=f"/data of {room.machine} will be nearly full: {size(room.needed_bytes)} of "
                f"{size(room.free_bytes)} that are free."
            )
    if any(role["name"] == DEFAULT for role in facts.roles):
        yield Finding(
            text="What the role postgres owns there belongs to this server's superuser here."
        )


# What a database has, and what that means. {} is for the names.
_MEANINGS = (
    (
        "text_partitions",
        "Partitions by ranges of text, which are ordered otherwise here: a row may belong to "
        "another partition, and is refused by this one: {}.",
        'partition them by COLLATE "C" at the source, or by another key',
    ),
    ("unlogged", "Unlogged tables can be copied, not followed: {}.", None),
    (
        "foreign_tables",
        "Foreign tables, whose user mappings' passwords nobody can read: {}.",
        None,
    ),
    ("materialized_views", "Materialized views are empty here before their REFRESH: {}.", None),
    (
        "event_triggers",
        "Event triggers, which would see all that a copy creates after them: {}.",
        None,
    ),
    ("subscriptions", "Subscriptions, of which only one server may be at work: {}.", None),
    (
        "publications",
        "Who subscribes to its publications has to begin anew here: {}.",
        None,
    ),
    (
        "invalid_indexes",
        "Indexes that are not valid, as their build has failed: {}.",
        "REINDEX INDEX CONCURRENTLY, or DROP INDEX, at the source",
    ),
    ("superuser_objects", "Belong to a superuser there, and here to ours: {}.", None),
)


def _of_databases(facts: Facts) -> Iterable[Finding]:
    for database in facts.databases:
        name = database["name"]
        content = facts.contents[name]

        def finding(text: str, next_command: str | None = None, name: str = name) -> Finding:
            return Finding(text=text, database=name, next_command=next_command)

        yield from _of_text(database, content, finding)
        if content["large_objects"]:
            yield finding(f"Large objects can be copied, not followed: {content['large_objects']}.")
        for key, text, next_command in _MEANINGS:
            if content[key] and not (key == "text_partitions" and not order_changes(database)):
                yield finding(text.format(some(content[key])), next_command)


def _of_text(
    database: Mapping[str, Any],
    content: Mapping[str, Any],
    finding: Callable[..., Finding],
) -> Iterable[Finding]:
    if database["encoding"] == "SQL_ASCII":
        yield finding(
            "Its encoding is SQL_ASCII, so nobody knows what its text is; what is not UTF-8 stops "
            "a copy."
        )
    if order_changes(database):
        indexes = content["text_indexes"]
        of_indexes = f" Indexes in the new order: {some(indexes)}." if indexes else ""
        yield finding(
            f"Text sorts by {database['locale']} there and by code points here (Z before a, ä "
            f"after z): ORDER BY, <, BETWEEN, min and max without a COLLATE change.{of_indexes}",
            'ORDER BY … COLLATE "de-x-icu", say, where people read it',
        )


def lost(role: Mapping[str, Any], facts: Facts) -> list[str]:
    """What of a role cannot come along."""
    found = []
    if role["entra"]:
        found.append("signs in by Entra ID there; needs a password here")
    elif role["login"]:
        found.append("its password")
    if role["superuser"]:
        found.append("SUPERUSER")
    kind = facts.service
    left = [name for name in role["member_of"] if service.owns_role(kind, name)]
    # Roles of PostgreSQL's own are here as well.
    gone = [name for name in left if name not in facts.here["roles"]]
    if gone:
        found.append(f"membership in {', '.join(gone)}")
    return found
