"""Where the source is: the operator's connection string, read and written again for libpq."""

import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

from host.domain.quoting import conninfo_value
from ops.errors import NOTHING_CHANGED, OperatorError

EXAMPLE = "python -m ops migrate plan 'host=NAME user=USER dbname=postgres sslmode=require'"
# What is stricter or looser than asked for is not chosen for the operator: `prefer` and `allow`
# send a password without TLS to whoever says that there is none, and `verify-ca` takes any
# certificate of any public authority.
SSLMODES = ("require", "verify-full", "disable")
_KNOWN = ("host", "port", "dbname", "user", "sslmode")
_WORD = re.compile(r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?:\s+|$)")
# Every session only reads, whatever is set for the role. A connection pooler refuses to pass this
# on, and is found out that way.
_OPTIONS = "-c default_transaction_read_only=on"
_UNHURRIED = (
    f"{_OPTIONS} -c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0"
)
CONNECT_TIMEOUT_S = 15


@dataclass(frozen=True)
class Address:
    """A server, a user of it and the database to begin with."""

    host: str
    port: int
    database: str
    user: str
    sslmode: str

    def conninfo(self, database: str) -> str:
        """libpq's connection string for one of the server's databases."""
        values = {
            "host": self.host,
            "port": str(self.port),
            "dbname": database,
            "user": self.user,
            "sslmode": self.sslmode,
            "connect_timeout": str(CONNECT_TIMEOUT_S),
            # A connection that has broken without a word is noticed within a minute.
            "keepalives_idle": "20",
            "keepalives_interval": "10",
            "keepalives_count": "4",
            "tcp_user_timeout": "60000",
            "gssencmode": "disable",
            "client_encoding": "UTF8",
            "application_name": "ops migrate",
            "options": _OPTIONS,
        }
        if self.sslmode == "verify-full":
            values["sslrootcert"] = "system"
        return " ".join(f"{name}={conninfo_value(value)}" for name, value in values.items())

    def for_work(self, database: str) -> str:
        """The same for what works for hours: time-outs of the role or the database do not end it,
        not even before its first statement. A plan would report them as the source's own."""
        return f"{self.conninfo(database)} options={conninfo_value(_UNHURRIED)}"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse(text: str) -> Address:
    """An address from `postgresql://…` or `host=… user=…`. Raises OperatorError, which does not
    repeat the text: there may be a password in it."""
    given = _of_uri(text) if "://" in text else _of_words(text)
    if "password" in given:
        _refuse(
            "The connection string has a password in it. Whoever lists this machine's programs can "
            "see it, and your shell has kept it.",
            f"{EXAMPLE}   (it asks for the password)",
        )
    unknown = sorted(set(given) - set(_KNOWN))
    if unknown:
        _refuse(f"A source is {', '.join(_KNOWN)}; {', '.join(unknown)} is not used.")
    missing = [name for name in ("host", "user") if not given.get(name)]
    if missing:
        _refuse(f"The connection string does not say {' and '.join(missing)}.")
    if "," in given["host"] or given["host"].startswith("/"):
        _refuse("The host is one name or address: the server that writes.")
    port = given.get("port") or "5432"
    if not port.isdecimal() or not 0 < int(port) < 65536:
        _refuse("The port is a number from 1 to 65535.")
    sslmode = given.get("sslmode") or "require"
    if sslmode not in SSLMODES:
        _refuse(f"sslmode is one of {', '.join(SSLMODES)}.")
    database = given.get("dbname") or "postgres"
    return Address(given["host"], int(port), database, given["user"], sslmode)


def _of_uri(text: str) -> dict[str, str]:
    parts = urlsplit(text)
    if parts.scheme not in ("postgresql", "postgres"):
        _refuse("A connection URI begins with postgresql://")
    given = dict(parse_qsl(parts.query))
    login, _, place = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    if colon:
        given["password"] = ""
    # Not parts.port, which raises for what is none.
    host, _, port = place.rpartition(":") if re.search(r":\d*$", place) else (place, "", "")
    found = {"user": user, "host": host.strip("[]"), "port": port, "dbname": parts.path[1:]}
    return given | {name: unquote(value) for name, value in found.items() if value}


def _of_words(text: str) -> dict[str, str]:
    given: dict[str, str] = {}
    at = 0
    while at < len(text.rstrip()):
        word = _WORD.match(text, at)
        if word is None:
            _refuse("The connection string cannot be read.")
        name, quoted, plain = word.groups()
        given[name] = re.sub(r"\\(.)", r"\1", plain if quoted is None else quoted)
        at = word.end()
    return given


def _refuse(happened: str, next_command: str = EXAMPLE) -> NoReturn:
    raise OperatorError(happened, NOTHING_CHANGED, next_command)
