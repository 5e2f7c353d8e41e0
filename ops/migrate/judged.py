"""What a comparison's findings mean: differences, rows that differ, what is left out. Pure."""

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from typing import Any

from ops.migrate import left_out, service
from ops.migrate.address import Address
from ops.migrate.comparison import (
    Aspect,
    Comparison,
    DatabaseComparison,
    Difference,
    RowDifference,
    Unread,
)
from ops.migrate.facts import DEFAULT
from ops.migrate.left_out import Roles, Sieve
from ops.migrate.refusals import RESERVED

_GRANTS = ("ACL", "DEFAULT ACL")
_PUBLIC, _PUBLICS = ("SCHEMA", "public"), {"owner": "pg_database_owner"}
Found = Mapping[str, Any]


def roles_of(listed: Iterable[Found]) -> Roles:
    """From the roles as questions.SERVER lists those of the source."""
    roles = list(listed)
    kind = service.of({role["name"] for role in roles})
    return Roles(
        services=frozenset(
            role["name"]
            for role in roles
            if service.owns_role(kind, role["name"]) and not role["name"].startswith("pg_")
        ),
        superusers=frozenset(role["name"] for role in roles if role["superuser"]),
    )


def comparison(
    found: Found,
    address: Address,
    machine: str,
    percent: float,
    listed: Iterable[Found] = (),
    shut: Iterable[str] = (),
) -> Comparison:
    """The document, from what ops/onmachine/compare/work.py has found on `machine`. `listed` are
    the source's roles, `shut` its databases that nobody could ask."""
    roles = roles_of(listed)
    sieve = Sieve(roles)
    unread = [
        Unread(what=f"database {name}", reason=f"{address.user} may not connect to it")
        for name in shut
    ]
    about = found["server"]
    if "failed" in about:
        unread.append(Unread(what="roles and databases as a whole", reason=about["failed"]))
    elif about:
        sieve = server(about, roles, found["databases"], RESERVED)
    databases = [database(name, each, roles) for name, each in found["databases"].items()]
    return Comparison(
        began=found["began"],
        ended=found["ended"],
        identical=not (sieve.kept or unread)
        and not any(each.differences or each.row_differences or each.unread for each in databases),
        host=address.host,
        port=address.port,
        server=machine,
        sample_percent=percent,
        differences=sieve.kept,
        unread=unread,
        left_out=sieve.left_out(),
        databases=databases,
    )


def database(name: str, found: Found, roles: Roles) -> DatabaseComparison:
    """One database, from what ops/onmachine/compare/work.py has found in it."""
    sieve = Sieve(roles)
    unread = []
    if reason := found.get("failed"):
        return _nothing(name, reason)
    definitions = found.get("definitions", {"entries": 0, "differences": []})
    if reason := definitions.get("failed"):
        unread.append(Unread(what="definitions", reason=reason))
        definitions = {"entries": 0, "differences": []}
    for each in definitions["differences"]:
        _definition(each, sieve)
    sequences = found.get("sequences", {"count": 0, "differences": []})
    for schema, sequence, source, here in sequences["differences"]:
        sieve.add(
            Difference(
                kind="SEQUENCE",
                name=f"{schema}.{sequence}",
                aspect=Aspect.VALUE,
                source=_value(*source),
                here=_value(*here),
            )
        )
    unread += [
        Unread(what=f"{what} {schema}.{table}", reason=reason)
        for what, schema, table, reason in found["unread"]
    ]
    rows, sampled, row_differences = 0, [], []
    tables = [(f"{each['schema']}.{each['name']}", each) for each in found["tables"]]
    objects = found.get("large_objects")
    for table, each in [*tables, *([("large objects", objects)] if objects else [])]:
        if reason := each.get("failed"):
            unread.append(Unread(what=f"rows of {table}", reason=reason))
            continue
        if each.get("sampled"):
            sampled.append(table)
        if each.get("view") and not each["equal"]:
            sieve.note(left_out.STALE_VIEW, [table])
        elif not each.get("equal") or "columns" in each:
            row_differences.append(_rows(table, each))
        if each is not objects:
            rows += each.get("rows", [0])[0]
    _notes(found["about"], sieve)
    return DatabaseComparison(
        name=name,
        definitions=definitions["entries"],
        tables=len(found["tables"]),
        rows=rows,
        bytes=sum(each["bytes"] for each in found["tables"]),
        sampled=sampled,
        sequences=sequences["count"],
        large_objects=objects["rows"][0] if objects and "rows" in objects else 0,
        differences=sieve.kept,
        row_differences=row_differences,
        unread=unread,
        left_out=sieve.left_out(),
    )


def _nothing(name: str, reason: str) -> DatabaseComparison:
    return DatabaseComparison(
        name=name,
        definitions=0,
        tables=0,
        rows=0,
        bytes=0,
        sampled=[],
        sequences=0,
        large_objects=0,
        differences=[],
        row_differences=[],
        unread=[Unread(what=f"database {name}", reason=reason)],
        left_out=[],
    )


def _value(last: int, called: bool) -> str:
    return str(last) if called else f"{last}, not given out yet"


def _definition(found: Found, sieve: Sieve) -> None:
    """Existence, text and owner of one entry of pg_dump's are differences of their own."""
    source, here = found["source"], found["here"]
    schema = "" if found["schema"] == "-" else f" in {found['schema']}"
    kind, name = found["type"], f"{found['name']}{schema}"

    def add(aspect: Aspect, there: str | None, ours: str | None) -> None:
        sieve.add(Difference(kind=kind, name=name, aspect=aspect, source=there, here=ours))

    if kind in _GRANTS:
        _grants(name, source, here, sieve)
    elif (kind, name) == _PUBLIC:
        # pg_dump mentions it where something of it is not as PostgreSQL made it.
        there, ours = ((side or _PUBLICS)["owner"] for side in (source, here))
        if there != ours:
            add(Aspect.OWNER, there, ours)
    elif source is None or here is None:
        there, ours = (side and side["text"] for side in (source, here))
        add(Aspect.EXISTENCE, there, ours)
    else:
        if source["text"] != here["text"]:
            # Of lines that only stand at another place, both sides may be told the same.
            add(Aspect.DEFINITION, *_apart(source["text"], here["text"]))
        if source["owner"] != here["owner"]:
            add(Aspect.OWNER, source["owner"], here["owner"])


def _grants(name: str, source: Found | None, here: Found | None, sieve: Sieve) -> None:
    there, ours = ((side or {"text": ""})["text"].splitlines() for side in (source, here))
    lost = [line for line in there if line not in ours]
    new = [line for line in ours if line not in there]
    lost_that_matter, new_that_matter = sieve.grants(lost), sieve.grants(new)
    if len(lost_that_matter) < len(lost):
        sieve.note(left_out.GRANT, [f"a grant on {name}"])
    if lost_that_matter or new_that_matter:
        sieve.add(
            Difference(
                kind="ACL",
                name=name,
                aspect=Aspect.GRANTS,
                source="\n".join(lost_that_matter) or None,
                here="\n".join(new_that_matter) or None,
            )
        )


def _apart(source: str, here: str) -> tuple[str | None, str | None]:
    """The lines of each that the other has not at that place."""
    there, ours = source.split("\n"), here.split("\n")
    steps = SequenceMatcher(None, there, ours, autojunk=False).get_opcodes()
    apart = [step for step in steps if step[0] != "equal"]
    lost = [line for _, start, end, _, _ in apart for line in there[start:end]]
    new = [line for _, _, _, start, end in apart for line in ours[start:end]]
    return "\n".join(lost) or None, "\n".join(new) or None


def _rows(name: str, found: Found) -> RowDifference:
    missing = [*found.get("missing", []), *found.get("unpopulated", [])]
    source, here = found.get("rows", [None, None])
    counts, first = found.get("counts", {}), found.get("first", {})
    columns = found.get("columns", {"source": [], "here": []})
    return RowDifference(
        name=name,
        source_rows=None if "source" in missing else source,
        here_rows=None if "here" in missing else here,
        columns_source=columns["source"],
        columns_here=columns["here"],
        key=found.get("key", []),
        **{kind: counts.get(kind, 0) for kind in ("only_source", "only_here", "changed")},
        complete=found.get("all", True),
        **{
            f"first_{kind}": first.get(kind, []) for kind in ("only_source", "only_here", "changed")
        },
    )


def _notes(about: Found, sieve: Sieve) -> None:
    source, here = about["source"], about["here"]
    sieve.note(left_out.SERVICES_SCHEMA, sorted({*source["schemas"], *here["schemas"]}))
    sieve.note(left_out.INVALID_INDEX, source["invalid_indexes"])
    sieve.note(left_out.SUBSCRIPTION, [*source["subscriptions"], *here["subscriptions"]])
    sieve.note(left_out.FOREIGN_TABLE, source["foreign_tables"])
    versions = here["extensions"]
    sieve.note(
        left_out.EXTENSION_VERSION,
        [
            f"{name} ({version} there, {versions[name]} here)"
            for name, version in source["extensions"].items()
            if name in versions and versions[name] != version
        ],
    )


def server(found: Found, roles: Roles, databases: Iterable[str], ours: Iterable[str]) -> Sieve:
    """Roles, and databases as a whole, from listing.SERVER's answers; `ours` are roles that the
    stack itself needs."""
    sieve = Sieve(roles)
    source, here = found["source"], found["here"]
    ignored = {*roles.services, *ours, DEFAULT}
    _roles(source["roles"], here["roles"], ignored, sieve)
    _memberships(source["memberships"], here["memberships"], ignored, sieve)
    only_here = here["roles"].keys() - source["roles"].keys()
    _settings(source["settings"], here["settings"], ignored | only_here, set(databases), sieve)
    for name in databases:
        if name in here["databases"]:
            _database(name, source["databases"][name], here["databases"][name], sieve)
    return sieve


def _roles(source: Found, here: Found, ignored: set[str], sieve: Sieve) -> None:
    def add(name: str, aspect: Aspect, there: str | None, ours: str | None) -> None:
        sieve.add(Difference(kind="ROLE", name=name, aspect=aspect, source=there, here=ours))

    names = {name for name in (*source, *here) if not name.startswith("pg_")} - ignored
    for name in sorted(names):
        if name not in source or name not in here:
            there, ours = ("is there" if name in side else None for side in (source, here))
            add(name, Aspect.EXISTENCE, there, ours)
            continue
        for attribute, there in source[name].items():
            ours = here[name][attribute]
            if there != ours:
                add(name, Aspect.ATTRIBUTE, _said(attribute, there), _said(attribute, ours))


def _said(attribute: str, value: Any) -> str | None:
    if isinstance(value, bool):
        return attribute if value else None
    return None if value is None else f"{attribute} {value}"


def _memberships(source: list[Found], here: list[Found], ignored: set[str], sieve: Sieve) -> None:
    def of(side: list[Found]) -> dict[tuple[str, str], set[str]]:
        found: dict[tuple[str, str], set[str]] = {}
        for each in side:
            if not {each["role"], each["member"]} & ignored:
                options = [name for name in ("admin", "inherit", "set") if each[name]]
                found.setdefault((each["member"], each["role"]), set()).add(", ".join(options))
        return found

    there, ours = of(source), of(here)
    for member, role in sorted(there.keys() | ours.keys()):
        both = [
            f"in {role} ({'; '.join(sorted(side[member, role]))})"
            if (member, role) in side
            else None
            for side in (there, ours)
        ]
        if both[0] != both[1]:
            sieve.add(
                Difference(
                    kind="ROLE",
                    name=member,
                    aspect=Aspect.MEMBERSHIP,
                    source=both[0],
                    here=both[1],
                )
            )


def _settings(
    source: list[Found], here: list[Found], ignored: set[str], databases: set[str], sieve: Sieve
) -> None:
    def of(side: list[Found]) -> dict[tuple[str, str, str], str]:
        return {
            (each["role"] or "", each["database"] or "", name): value
            for each in side
            if each["role"] not in ignored
            and (not each["database"] or each["database"] in databases)
            for name, _, value in (setting.partition("=") for setting in each["values"])
        }

    there, ours = of(source), of(here)
    for role, database_name, setting in sorted(there.keys() | ours.keys()):
        both = [
            f"{setting} = {side[role, database_name, setting]}"
            if (role, database_name, setting) in side
            else None
            for side in (there, ours)
        ]
        if both[0] != both[1]:
            where = (
                f"{role} in {database_name}" if role and database_name else role or database_name
            )
            sieve.add(
                Difference(
                    kind="ROLE" if role else "DATABASE",
                    name=where,
                    aspect=Aspect.SETTING,
                    source=both[0],
                    here=both[1],
                )
            )


def _database(name: str, source: Found, here: Found, sieve: Sieve) -> None:
    def add(aspect: Aspect, there: str | None, ours: str | None) -> None:
        if there != ours:
            difference = Difference(
                kind="DATABASE", name=name, aspect=aspect, source=there, here=ours
            )
            sieve.add(difference)

    add(Aspect.OWNER, source["owner"], here["owner"])
    for attribute in ("connection limit", "encoding", "comment"):
        add(
            Aspect.ATTRIBUTE,
            _said(attribute, source[attribute]),
            _said(attribute, here[attribute]),
        )
    # Who owns it has everything, whoever that is.
    ignored = {*sieve.roles.services, DEFAULT, source["owner"], here["owner"]}
    there, ours = (
        {
            f"{each['privilege']} TO {each['to']}{' WITH GRANT OPTION' * each['grantable']}"
            for each in side["grants"] or []
            if each["to"] not in ignored
        }
        for side in (source, here)
    )
    add(
        Aspect.GRANTS,
        ", ".join(sorted(there - ours)) or None,
        ", ".join(sorted(ours - there)) or None,
    )
