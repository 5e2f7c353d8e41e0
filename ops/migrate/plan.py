"""`ops migrate plan`: the source and this server side by side, before anything is touched."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ops.errors import NOTHING_CHANGED, OperatorError
from ops.migrate import ask, extensions, facts, notes, questions, refusals, service
from ops.migrate.address import Address
from ops.migrate.facts import Facts
from ops.migrate.model import (
    Blocker,
    Collation,
    Database,
    Extension,
    LeftBehind,
    MigrationPlan,
    Role,
    Room,
    Setting,
    Slot,
    Source,
)
from ops.reach import postgres
from ops.reach.ssh import CommandFailed, Site
from ops.recover import space


def gather(site: Site, address: Address, password: str) -> Facts:
    """What both answer. Raises OperatorError where one of them cannot be asked."""
    here = _here(site)
    source = facts.of_source(ask.asker(site.postgres, address, password), address.database)
    there_too = [name for name in source.contents if name in here["databases"]]
    sizes = sum(
        each["size_bytes"] for each in source.server["databases"] if each["name"] in source.contents
    )
    return Facts(
        **vars(source),
        address=address,
        here=here,
        occupied=facts.occupied(lambda sql, name: _query(site, sql, name), there_too),
        machine=site.postgres.name,
        room=_room(site, sizes, here["kept_wal_bytes"]),
    )


def judged(found: Facts, at: datetime) -> MigrationPlan:
    """The plan that follows from what was found."""
    refused = refusals.find(found)
    server = found.server
    return MigrationPlan(
        at=at,
        possible=not refused,
        refusals=refused,
        for_following=notes.for_following(found),
        warnings=notes.warnings(found),
        source=Source(
            host=found.address.host,
            port=found.address.port,
            user=found.address.user,
            service=found.service,
            **{name: server[name] for name in Source.model_fields if name in server},
        ),
        server=found.machine,
        version=found.here["version"],
        databases=[_database(each, found) for each in found.databases],
        roles=[
            Role(
                name=each["name"],
                login=each["login"],
                exists_here=each["name"] in found.here["roles"],
                lost=notes.lost(each, found),
            )
            for each in found.roles
        ],
        settings=_settings(found),
        slots=[Slot.model_validate(each) for each in server["slots"]],
        blockers=[Blocker.model_validate(each) for each in server["blockers"]],
        left_behind=_left_behind(found),
        room=list(found.room),
    )


def _query(site: Site, sql: str, database: str = facts.DEFAULT) -> Any:
    try:
        return json.loads(postgres.query(site.postgres, sql, database=database))
    except CommandFailed as failed:
        raise OperatorError(
            f"This server's database {database} cannot be asked: {failed.result.said}",
            NOTHING_CHANGED,
            next_command="python -m ops status",
        ) from None


def _here(site: Site) -> dict[str, Any]:
    state, _, _ = postgres.state(site.postgres, site.outputs.backup.slot)
    postgres.require_running(state)
    return _query(site, questions.HERE)


def _room(site: Site, sizes: int, kept_wal: int) -> tuple[Room, ...]:
    """For the data, beside what Barman has not taken yet of the WAL that they make; on Barman's
    machine for the full backup at the end."""
    needed = ((site.postgres, sizes + kept_wal), (site.barman, sizes))
    return tuple(
        Room(machine=each.name, needed_bytes=size, free_bytes=space.free_bytes(each))
        for each, size in needed
    )


def _database(listed: Mapping[str, Any], found: Facts) -> Database:
    content = found.contents[listed["name"]]
    offered, version = found.here["extensions"], found.version_here
    known = {**content, **listed}
    answers = {name: value for name, value in known.items() if name in Database.model_fields}
    answers["extensions"] = [_extension(each, offered, version) for each in content["extensions"]]
    answers["collations"] = [
        Collation(
            name=each["name"],
            provider=each["provider"],
            locale=each["locale"],
            here=refusals.known(each, found),
        )
        for each in content["collations"]
    ]
    return Database(
        **answers,
        exists_here=listed["name"] in found.here["databases"],
        order_changes=notes.order_changes(listed),
    )


def _extension(each: Mapping[str, Any], offered: Mapping[str, str], version: str) -> Extension:
    name = each["name"]
    here = offered.get(name)
    return Extension(
        name=name,
        version=each["version"],
        here=here,
        package=None if here else extensions.package(name, version),
        left_behind=service.owns_extension(name),
    )


def _settings(found: Facts) -> list[Setting]:
    here = found.here["settings"]
    return [
        Setting(name=name, source=value, here=here.get(name))
        for name, value in found.server["settings"].items()
        if value != here.get(name)
    ]


def _left_behind(found: Facts) -> list[LeftBehind]:
    kind = found.service
    left = [
        LeftBehind(kind="database", name=each["name"])
        for each in found.server["databases"]
        if service.owns_database(each["name"])
    ]
    left += [
        LeftBehind(kind="role", name=each["name"])
        for each in found.server["roles"]
        if service.owns_role(kind, each["name"]) and not each["name"].startswith("pg_")
    ]
    for name, content in found.contents.items():
        left += [LeftBehind(kind="schema", name=s, database=name) for s in content["schemas"]]
        left += [
            LeftBehind(kind="extension", name=each["name"], database=name)
            for each in content["extensions"]
            if service.owns_extension(each["name"])
        ]
    return left
