"""What psql's complaint about a source means: what happened, and what to type. Pure."""

import re
from ipaddress import ip_address, ip_network

from ops.errors import OperatorError
from ops.migrate.address import CONNECT_TIMEOUT_S, Address

ONLY_READ = "The source was only asked; nothing was changed there or here."
_PRIVATE = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
_SILENT = "timeout expired|Connection timed out|No route to host|is unreachable"
# What psql says, as a regular expression, in the order in which it is looked for; what that means;
# what to do.
_MEANINGS = (
    (
        "could not translate host name",
        "{machine} knows no host called {host}.",
        "check the name in the portal; a private one needs a DNS zone that {machine} asks",
    ),
    (
        "unsupported startup parameter|not allowed in startup packet",
        "At {address} a connection pooler answers, and a copy needs the server itself.",
        "the same again with the server's own port, 5432",
    ),
    (
        _SILENT,
        "{address} does not answer {machine} within {seconds} s: a firewall on the way, the "
        "service's own most likely.",
        "az postgres flexible-server firewall-rule create -g GROUP -n SERVER -r moving "
        "--start-ip-address IP --end-ip-address IP   (IP: of the stack's NAT gateway; az network "
        "public-ip list has it)",
    ),
    (
        "Connection refused",
        "Nothing listens at {address}, as {machine} sees it.",
        "check host and port, and that the server runs; then the same again",
    ),
    (
        "server does not support SSL",
        "{address} speaks no TLS, and sslmode={sslmode} wants it.",
        "switch TLS on there, or, inside a network that you trust, sslmode=disable",
    ),
    (
        "certificate verify failed|does not match host name",
        "{machine} does not trust the certificate of {address}: another server answers there, or "
        "no public authority has signed it.",
        "put the authority's certificate into /usr/local/share/ca-certificates on {machine} and "
        "run update-ca-certificates there; sslmode=require takes any certificate",
    ),
    (
        "no pg_hba.conf entry|pg_hba.conf rejects",
        "{address} does not let {user} in from {machine} with sslmode={sslmode}.",
        "the same again with sslmode=require, if it was another one; else let that address in",
    ),
    (
        "password authentication failed|no password supplied",
        "{address} does not accept that password for {user}, or knows no such user.",
        "the same again with the right one; where it is forgotten: az postgres flexible-server "
        "update -g GROUP -n SERVER --admin-password …",
    ),
    (
        "too many connections|remaining connection slots",
        "{address} has no connection left for {user}.",
        "end idle connections there, then the same again",
    ),
    (
        'FATAL: +database ".*" does not exist',
        "{address} has no database {database}.",
        "the same again with dbname=postgres",
    ),
)
_TO_PRIVATE = (
    "{address} does not answer {machine} within {seconds} s. {private} is a private address, and "
    "the rules of {machine}'s own subnet let nothing out to those.",
    "az network nsg rule create -g GROUP --nsg-name NSG -n ToSource --priority 200 --direction "
    "Outbound --access Allow --protocol Tcp --destination-address-prefixes {private} "
    "--destination-port-ranges {port}   (NSG: that subnet's; a later pulumi up may take the rule "
    "away)",
)


def explain(said: str, address: Address, database: str, machine: str) -> OperatorError:
    """`said` by psql on `machine`, as an error for the operator."""
    found = meaning(said, address, database, machine)
    if found is None:
        return OperatorError(
            f"The database {database} at {address} cannot be asked: {_words(said)}", ONLY_READ
        )
    happened, next_command = found
    return OperatorError(happened, ONLY_READ, next_command)


def ended(said: str, address: Address, database: str, machine: str, state: str) -> OperatorError:
    """What a program of a move `said` when it ended, as an error: with what it means where that is
    known. `state` is what was and was not changed."""
    happened, next_command = meaning(said, address, database, machine) or (said, None)
    return OperatorError(happened, state, next_command)


def meaning(said: str, address: Address, database: str, machine: str) -> tuple[str, str] | None:
    """What happened and what to type, where `said` is of a known kind."""
    private = _private(said) if re.search(_SILENT, said) else None
    found = _TO_PRIVATE if private else _known(said)
    if found is None:
        return None
    happened, next_command = (
        text.format(
            address=address,
            host=address.host,
            port=address.port,
            user=address.user,
            sslmode=address.sslmode,
            database=database,
            machine=machine,
            private=private,
            seconds=CONNECT_TIMEOUT_S,
        )
        for text in found
    )
    return f"{happened} PostgreSQL's words: {_words(said)}", next_command


def _words(said: str) -> str:
    return " ".join(re.sub(r"password retrieved from file \S+|psql: error: ", "", said).split())


def _known(said: str) -> tuple[str, str] | None:
    return next(((text, then) for sign, text, then in _MEANINGS if re.search(sign, said)), None)


def _private(said: str) -> str | None:
    """The address that libpq has tried, if it is one inside a private network."""
    found = re.search(r'server at "([^"]+)"(?: \(([^)]+)\))?', said)
    if found is None:
        return None
    address = found[2] or found[1]
    try:
        inside = any(ip_address(address) in network for network in _PRIVATE)
    except ValueError:
        return None
    return address if inside else None
