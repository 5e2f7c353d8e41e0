"""What was asked of the source and of this server, before anybody judges it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ops.errors import OperatorError
from ops.migrate import questions, service
from ops.migrate.address import Address
from ops.migrate.ask import Ask
from ops.migrate.complaints import ONLY_READ
from ops.migrate.model import Room
from ops.migrate.service import Service

# The database that every cluster is made with: nobody's, as long as nothing is in it.
DEFAULT = "postgres"


@dataclass(frozen=True)
class SourceFacts:
    """What only the source was asked: answers to the questions of questions.py, as they came.

    `contents` has those databases that would come along, by name; `shut` are names of databases
    that the user cannot connect to, `closed` of those that nobody can.
    """

    server: Mapping[str, Any]
    contents: Mapping[str, Mapping[str, Any]]
    shut: tuple[str, ...]
    closed: tuple[str, ...]


@dataclass(frozen=True)
class Facts(SourceFacts):
    """The same beside what this server, on `machine`, has answered.

    `occupied` are the databases here, of the same names, that have something in them.
    """

    address: Address
    here: Mapping[str, Any]
    occupied: frozenset[str]
    machine: str
    room: tuple[Room, ...]

    @property
    def service(self) -> Service:
        return service.of({role["name"] for role in self.server["roles"]})

    @property
    def databases(self) -> list[Mapping[str, Any]]:
        """Those that would come along, as the server lists them."""
        return [each for each in self.server["databases"] if each["name"] in self.contents]

    @property
    def roles(self) -> list[Mapping[str, Any]]:
        """Those that would come along."""
        kind = self.service
        return [r for r in self.server["roles"] if not service.owns_role(kind, r["name"])]

    @property
    def version_here(self) -> str:
        """This server's major version."""
        return str(self.here["number"] // 10000)


def of_source(ask: Ask, database: str) -> SourceFacts:
    """Ask the source, beginning in `database`. Raises OperatorError, also where it is too old to
    be asked."""
    number = ask(questions.NUMBER, database)
    if number < questions.OLDEST:
        raise OperatorError(
            f"The source is PostgreSQL {_major(number)}; what is older than "
            f"{_major(questions.OLDEST)} cannot be looked at.",
            ONLY_READ,
            next_command="upgrade the source first",
        )
    server = ask(questions.SERVER, database)
    listed = [each for each in server["databases"] if not service.owns_database(each["name"])]
    reachable = [each["name"] for each in listed if each["open"] and each["connect"]]
    if DEFAULT in reachable and not ask(questions.CONTENT_OR_EXTENSIONS, DEFAULT):
        reachable.remove(DEFAULT)
    question = questions.database(number)
    return SourceFacts(
        server,
        {name: ask(question, name) for name in reachable},
        tuple(each["name"] for each in listed if each["open"] and not each["connect"]),
        tuple(each["name"] for each in listed if not each["open"]),
    )


def _major(number: int) -> str:
    """As people say it: 9.6, 15."""
    whole = number // 10000
    return str(whole) if whole >= 10 else f"{whole}.{number // 100 % 100}"


def occupied(query: Callable[[str, str], Any], names: Iterable[str]) -> frozenset[str]:
    """Which of these databases here have something in them, by `query(sql, database)`."""
    return frozenset(name for name in names if query(questions.CONTENT, name))
