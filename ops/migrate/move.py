"""One move: what is copied and how, decided once, before anything is touched, and kept on the
PostgreSQL machine until the move is over."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from ops.migrate import roles, service
from ops.migrate.address import Address
from ops.migrate.facts import Facts
from ops.onmachine.migration.sessions import NAME


class Database(BaseModel):
    """One database of a move."""

    model_config = ConfigDict(frozen=True)

    name: str
    owner: str
    size_bytes: int
    create: str
    """The statement that creates it here."""
    properties: list[str]
    """Statements that give it what belongs to it as a whole, once it is copied."""
    schemas: list[str]
    """Of the service's own, left behind."""
    extensions: list[str]
    replace: bool
    """Whether there is an empty one of this name here."""
    slot: str = ""
    publish: list[str] = []
    later: list[str] = []
    """Tables that cannot be followed: their rows come at the cutover."""


class Move(BaseModel):
    """The whole of it; no secret is in it."""

    model_config = ConfigDict(frozen=True)

    host: str
    port: int
    user: str
    sslmode: str
    database: str
    """The one to begin with at the source."""
    version: int
    """The source's, as server_version_num has it."""
    databases: list[Database]
    create_roles: dict[str, str]
    """Role -> the statements that create it; those that are here already are not among them."""
    grants: list[str]
    role_settings: list[str]
    placeholders: list[str]
    """Roles of the service's own, here only as long as restored objects name them."""
    without_password: list[str]
    """Roles that log in and have no password here."""
    follow: bool
    reverse: bool = False
    """Whether there is a way back: what is written here since the cutover goes to the source."""

    @property
    def address(self) -> Address:
        return Address(self.host, self.port, self.database, self.user, self.sslmode)

    def conninfo(self, database: str) -> str:
        """libpq's connection string for the source, as programs on the machine use it."""
        return self.address.for_work(database)


def of(facts: Facts, answer: Mapping[str, Any], chosen: Sequence[str], *, follow: bool) -> Move:
    """The move that follows from what was found; `answer` is that of roles.QUESTION, `chosen` are
    databases."""
    here = set(facts.here["roles"])
    ours = {each["name"] for each in facts.roles}
    by_name = {each["name"]: each for each in answer["roles"]}
    known = here | ours
    create = {name: roles.creating(by_name[name]) for name in sorted(ours - here)}
    kind = facts.service
    return Move(
        host=facts.address.host,
        port=facts.address.port,
        user=facts.address.user,
        sslmode=facts.address.sslmode,
        database=facts.address.database,
        version=facts.server["number"],
        databases=[
            _database(each, facts, answer, known, follow=follow)
            for each in facts.databases
            if each["name"] in chosen
        ],
        create_roles=create,
        grants=roles.memberships(answer, known),
        role_settings=roles.settings(answer, create, [None]),
        placeholders=sorted(
            name
            for name in by_name.keys() - here - ours
            if service.owns_role(kind, name) and not name.startswith("pg_")
        ),
        without_password=[name for name in create if by_name[name]["login"]],
        follow=follow,
    )


def _database(
    listed: Mapping[str, Any],
    facts: Facts,
    answer: Mapping[str, Any],
    known: set[str],
    *,
    follow: bool,
) -> Database:
    name = listed["name"]
    content = facts.contents[name]
    create, properties = roles.database(name, answer, known)
    return Database(
        name=name,
        owner=listed["owner"],
        size_bytes=listed["size_bytes"],
        create=create,
        properties=properties + roles.settings(answer, known, [name]),
        schemas=content["schemas"],
        extensions=[e["name"] for e in content["extensions"] if service.owns_extension(e["name"])],
        replace=name in facts.here["databases"],
        slot=f"{NAME}_{listed['oid']}" if follow else "",
        publish=content["followed"] if follow else [],
        later=sorted(content["without_key"] + content["unlogged"]) if follow else [],
    )
