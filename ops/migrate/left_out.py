"""What differs between a source and this server and is no difference: each reason once. Pure."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from host.domain.quoting import identifier
from ops.migrate import service
from ops.migrate.comparison import Aspect, Difference, LeftOut
from ops.migrate.facts import DEFAULT
from ops.onmachine.migration.sessions import NAME as MOVES

# A grant names whom it is for, and by whom if not by the owner.
_GRANTEE = re.compile(
    r' (?:TO|FROM) (?P<to>"(?:[^"]|"")+"|\w+)(?: WITH GRANT OPTION)?(?: GRANTED BY (?P<by>.*))?;$'
)
_DEFAULTS_OF = re.compile(r'^ALTER DEFAULT PRIVILEGES FOR ROLE (?P<by>"(?:[^"]|"")+"|\w+) ')


@dataclass(frozen=True)
class Roles:
    """Of the source: the service's own, and superusers."""

    services: frozenset[str]
    superusers: frozenset[str]

    @property
    def nobodys(self) -> frozenset[str]:
        """Those whose belongings are our superuser's here."""
        return self.services | self.superusers


Rule = Callable[[Difference, Roles], bool]


def _extension(found: Difference, _: Roles) -> bool:
    return found.kind == "EXTENSION" and service.owns_extension(found.name)


def _extensions_comment(found: Difference, _: Roles) -> bool:
    return found.kind == "COMMENT" and found.name.startswith("EXTENSION ")


def _mapping(found: Difference, _: Roles) -> bool:
    return found.kind == "USER MAPPING" and found.aspect is Aspect.DEFINITION


def _owner(found: Difference, roles: Roles) -> bool:
    return (
        found.aspect is Aspect.OWNER
        and found.source in roles.nobodys
        and found.here in (DEFAULT, "pg_database_owner")
    )


def _encoding(found: Difference, _: Roles) -> bool:
    return found.kind == "DATABASE" and found.here == "encoding UTF8"


def _superuser(found: Difference, roles: Roles) -> bool:
    return found.aspect is Aspect.ATTRIBUTE and (
        found.name in roles.superusers and found.source == "SUPERUSER" and found.here is None
    )


def _moves(found: Difference, _: Roles) -> bool:
    return found.kind.startswith("PUBLICATION") and MOVES in found.name


def _role_here(found: Difference, _: Roles) -> bool:
    return found.kind == "ROLE" and found.aspect is Aspect.EXISTENCE and found.source is None


# The first that applies.
RULES: tuple[tuple[str, Rule], ...] = (
    ("belongs to the service, and is of no use elsewhere", _extension),
    ("is what an extension's own version says of itself", _extensions_comment),
    ("has options, a password among them, that not everybody can read", _mapping),
    ("belonged to a superuser or to the service, and belongs to our superuser here", _owner),
    ("is in UTF-8 here; its rows were compared as such", _encoding),
    ("was a superuser there; nobody but postgres is one here", _superuser),
    ("belongs to a move that is under way", _moves),
    ("is a role that only this server has", _role_here),
)
GRANT = "names the service's own roles, or postgres, who needs no grant"
SERVICES_SCHEMA = "is a schema of the service's or of a move's own"
INVALID_INDEX = "is not valid at the source, as its build has failed, and is not copied"
SUBSCRIPTION = "is a subscription, of which only one server may be at work: not compared"
STALE_VIEW = (
    "is a materialized view, refreshed here: its rows at the source are those of its last refresh"
)
FOREIGN_TABLE = "has its rows on another server; its definition was compared"
EXTENSION_VERSION = "has another version of an extension here"


def schemas(services: Iterable[str]) -> str:
    """Schemas that are neither compared nor read, as PostgreSQL reads a regular expression: these
    of the `services`, and those of a move."""
    return "|".join(f"^{re.escape(name)}$" for name in (*sorted(set(services)), MOVES))


@dataclass
class Sieve:
    """Takes differences, keeps those that are some, and the others with their reasons."""

    roles: Roles
    kept: list[Difference] = field(default_factory=list)
    _reasons: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, found: Difference) -> None:
        reason = next((text for text, applies in RULES if applies(found, self.roles)), None)
        if reason is None:
            self.kept.append(found)
        else:
            self.note(reason, [f"{found.kind} {found.name}"])

    def note(self, reason: str, names: Iterable[str]) -> None:
        """These are left out for this reason."""
        for name in names:
            if name not in self._reasons[reason]:
                self._reasons[reason].append(name)

    def left_out(self) -> list[LeftOut]:
        return [LeftOut(reason=text, names=names) for text, names in self._reasons.items() if names]

    def grants(self, lines: Iterable[str]) -> list[str]:
        """Those statements that matter here."""
        needless = {identifier(name) for name in self.roles.services | {DEFAULT}}
        return [line for line in lines if not _named(line) & needless]


def _named(line: str) -> set[str]:
    """The roles by or for whom a grant is, quoted."""
    found = [
        match.groupdict() for match in (_GRANTEE.search(line), _DEFAULTS_OF.match(line)) if match
    ]
    names = [name for groups in found for name in groups.values() if name]
    return {name if name.startswith('"') else identifier(name) for name in names}
