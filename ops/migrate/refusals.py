"""What makes a move impossible as things are: the reason, and what would make it possible. Pure."""

from collections.abc import Iterable

from host.desired.names import BARMAN_ROLE, STREAMING_ROLE
from host.domain.quoting import identifier
from host.monitoring.services import ROLE as MONITORING_ROLE
from ops.migrate import extensions, service
from ops.migrate.facts import DEFAULT, Facts
from ops.migrate.model import Finding
from ops.screen import size

# What the stack itself needs; a role of the source would change them.
RESERVED = (BARMAN_ROLE, STREAMING_ROLE, MONITORING_ROLE)
_SHOWN = 5


def find(facts: Facts) -> list[Finding]:
    """All of them: whoever settles one should know of the others."""
    return [
        *_version(facts),
        *_databases(facts),
        *_names(facts),
        *_roles(facts),
        *_rights(facts),
        *_extensions(facts),
        *_collations(facts),
        *_room(facts),
    ]


def some(names: Iterable[str]) -> str:
    """The first of them, and how many more there are."""
    listed = list(names)
    more = len(listed) - _SHOWN
    return ", ".join(listed[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _version(facts: Facts) -> Iterable[Finding]:
    there, here = facts.server["number"] // 10000, facts.here["number"] // 10000
    if there > here:
        yield Finding(
            text=f"The source is PostgreSQL {there}, this server {here}: an older version cannot "
            "read what a newer one wrote.",
            next_command="move to a stack whose image brings that version (the setting image)",
        )


def _databases(facts: Facts) -> Iterable[Finding]:
    for name in facts.shut:
        yield Finding(
            text=f"{facts.address.user} may not connect to the database {name}.",
            database=name,
            next_command=f"GRANT CONNECT ON DATABASE {identifier(name)} TO "
            f"{identifier(facts.address.user)};   (at the source, by the database's owner)",
        )
    for name in sorted(facts.occupied):
        yield Finding(
            text=f"There is a database {name} here, and it is not empty.",
            database=name,
            next_command=_free_name(name, facts.machine),
        )
    for name in facts.here["closed"]:
        if name in facts.contents:
            yield Finding(
                text=f"There is a database {name} here that nobody can connect to.",
                database=name,
                next_command=_free_name(name, facts.machine),
            )


def _names(facts: Facts) -> Iterable[Finding]:
    r"""psql's \\copy, by which rows come over, ends with its line."""
    for database, found in facts.contents.items():
        if found["of_two_lines"]:
            names = some(repr(name).strip("'") for name in found["of_two_lines"])
            yield Finding(
                text=f"There is a line break in the name of {names}: rows cannot be copied from "
                "there.",
                database=database,
                next_command="ALTER TABLE … RENAME TO …, or RENAME COLUMN … TO …;   (at the "
                "source, and in the application)",
            )


def _free_name(name: str, machine: str) -> str:
    if name == DEFAULT:
        return "at the source, move what is in postgres into a database of its own"
    return (
        f"ALTER DATABASE {identifier(name)} RENAME TO {identifier(name + '_before')};   (on "
        f"{machine}: sudo -u postgres psql)"
    )


def _roles(facts: Facts) -> Iterable[Finding]:
    for role in facts.roles:
        name = role["name"]
        if name in RESERVED:
            yield Finding(
                text=f"The source has a role {name}, and that is one that backups and monitoring "
                "here run by.",
                next_command=f"ALTER ROLE {identifier(name)} RENAME TO …;   (at the source)",
            )
        elif name in facts.here["owning"] and name != DEFAULT:
            yield Finding(
                text=f"There is a role {name} here that owns something: both would be one.",
                next_command=f"ALTER ROLE {identifier(name)} RENAME TO …;   (at the source, or on "
                f"{facts.machine}, if they are not the same)",
            )


def _rights(facts: Facts) -> Iterable[Finding]:
    user = identifier(facts.address.user)
    for name, found in facts.contents.items():
        unread = list(found["unreadable"])
        if number := found["unreadable_large_objects"]:
            unread.append(f"large objects ({number})")
        if unread:
            yield Finding(
                text=f"{facts.address.user} cannot read {some(unread)}.",
                database=name,
                next_command=f"GRANT {', '.join(found['owners_of_unreadable'])} TO {user};   (at "
                "the source: the owners)",
            )
        if found["hidden"]:
            yield Finding(
                text=f"Row security hides rows from {facts.address.user} in "
                f"{some(found['hidden'])}: a copy would lack them.",
                database=name,
                next_command=f"ALTER ROLE {user} BYPASSRLS;   (at the source; else NO FORCE ROW "
                "LEVEL SECURITY, and membership in the owner)",
            )


def _extensions(facts: Facts) -> Iterable[Finding]:
    version, offered = facts.version_here, facts.here["extensions"]
    lacking: dict[str, list[str]] = {}
    for name, found in facts.contents.items():
        for each in found["extensions"]:
            if each["name"] not in offered and not service.owns_extension(each["name"]):
                lacking.setdefault(each["name"], []).append(name)
    for extension, databases in lacking.items():
        package = extensions.package(extension, version)
        yield Finding(
            text=f"This server has no extension {extension}, which is used in {some(databases)}.",
            next_command=f"sudo apt-get install {package}   (on {facts.machine}, and again when "
            "it is rebuilt)"
            if package
            else f"DROP EXTENSION {identifier(extension)};   (at the source, if it can do without: "
            "no package of Debian is known to bring it)",
        )


def _collations(facts: Facts) -> Iterable[Finding]:
    for name, found in facts.contents.items():
        missing = [each for each in found["collations"] if not known(each, facts)]
        if missing:
            locales = sorted({each["locale"] for each in missing})
            generate = " && ".join(_generate(locale) for locale in locales)
            yield Finding(
                text=f"Columns or indexes are in an order that {facts.machine} does not know: "
                f"{some(each['name'] for each in missing)}.",
                database=name,
                next_command=f"sudo apt-get install locales && {generate} && sudo -u postgres psql "
                f"-c \"SELECT pg_import_system_collations('pg_catalog')\"   (on {facts.machine})",
            )


def _generate(locale: str) -> str:
    language = locale.partition(".")[0].partition("@")[0]
    return f"sudo localedef -i {language} -f UTF-8 {language}.UTF-8"


def known(collation: dict[str, str], facts: Facts) -> bool:
    """Whether this server has the collation, or what it is made of."""
    if collation["system"]:
        return collation["name"] in facts.here["collations"]
    if collation["provider"] != "c":
        return True
    return _plain(collation["locale"]) in {_plain(each) for each in facts.here["locales"] if each}


def _plain(locale: str) -> str:
    return locale.lower().replace("-", "")


def _room(facts: Facts) -> Iterable[Finding]:
    settings = {facts.machine: "postgresDiskGb"}
    for room in facts.room:
        if room.free_bytes < room.needed_bytes:
            setting = settings.get(room.machine, "barmanDiskGb")
            yield Finding(
                text=f"/data of {room.machine} has {size(room.free_bytes)} free and needs "
                f"{size(room.needed_bytes)}.",
                next_command=f"pulumi config set {setting} …, then pulumi up",
            )
