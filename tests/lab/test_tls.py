"""Whom clients and Barman refuse, and whom PostgreSQL refuses: no TLS, an md5 password, an address
that no rule names, another authority, a certificate that has ended."""

import hashlib
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import psycopg
import pytest

from components import certificates
from tests.support.application import Application
from tests.support.site import Site

pytestmark = pytest.mark.network

AUTHORITY = "/etc/ssl/postgresql-ca.pem"
ADDRESS = IPv4Address("10.20.0.4")
# An authority of somebody else, who can do everything that ours can.
SEED, NAME = b"somebody else's authority, 32 by", "somebody else"
# libpq does not say more: what is let in a moment before, and after, says which it is.
REFUSED = "certificate verify failed"


def issued(ago: timedelta) -> tuple[str, str]:
    """The other authority's certificate, and a server file by it, both issued that long ago."""
    moment = (datetime.now(UTC) - ago).strftime(certificates.MOMENT)
    server = certificates.server_file(SEED, NAME, SEED[::-1], "postgres-lab", ADDRESS, moment)
    return certificates.authority_certificate(SEED, NAME, moment), server


@contextmanager
def put(site: Site, machine: str, path: str, text: str, then: str = "true") -> Iterator[None]:
    """Another content of a file for a while; `then` is run after both changes."""
    kept = f"{path}.before-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    write = f"cat {path} >{kept}; printf %s {shlex.quote(text)} >{path}"
    site.stack.on(machine, f"set -e; umask 077; {write}; {then}")
    try:
        yield
    finally:
        site.stack.on(machine, f"cat {kept} >{path}; rm {kept}; {then}")


def refusal(application: Application) -> str:
    """Why a client was not let in; empty if it was."""
    try:
        application.connect().close()
    except psycopg.OperationalError as error:
        return str(error)
    return ""


def barman_refusal(site: Site) -> str:
    """Why Barman's own connection string does not get in; empty if it does."""
    output = site.on_barman(
        "cd /; conninfo=$(sed -n 's/^conninfo *= *//p' /etc/barman.d/pg.conf); "
        "HOME=/var/lib/barman runuser -u barman -- "
        'psql -X -A -t -q -d "$conninfo" -c "SELECT 1" 2>&1 || true'
    )
    return "" if output == "1" else output


def eventually(what: str, seen: Callable[[], str], wanted: str) -> None:
    """Until `seen` has `wanted` in it, or is empty when that is what is wanted."""
    deadline = time.monotonic() + 60
    while not ((wanted in found) if (found := seen()) and wanted else found == wanted):
        assert time.monotonic() < deadline, f"{what}: {found or 'let in'}"
        time.sleep(0.5)


def trusting(application: Application, folder: Path, authority: str) -> Application:
    """The same client with another authority's certificate."""
    file = folder / "authority.pem"
    file.write_text(authority)
    uri = application.uri.partition("&sslrootcert=")[0]
    return Application(application.client, f"{uri}&sslrootcert={file}")


def test_a_client_without_tls_is_refused_and_the_log_says_so(
    site: Site, application: Application
) -> None:
    plain = application.uri.partition("?")[0] + "?sslmode=disable"
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        Application(application.client, plain).connect()
    log = site.on_postgres("cat /var/log/postgresql/*.log")
    assert 'no pg_hba.conf entry for host "10.30.0.9", user "app", database "app"' in log
    assert refusal(application) == ""


def test_an_md5_password_is_refused_and_the_log_says_so(
    site: Site, application: Application
) -> None:
    """A role of an older server, brought over with the verifier that it had there."""
    role = "SET password_encryption = 'md5'; CREATE ROLE old LOGIN PASSWORD 'the right one'"
    site.stack.sql(f"{role}; GRANT CONNECT ON DATABASE app TO old")
    md5 = "SELECT rolpassword LIKE 'md5%' FROM pg_authid WHERE rolname = 'old'"
    assert site.stack.sql(md5) == "t"
    try:
        where = application.uri.partition("@")[2]
        old = Application(application.client, f"postgresql://old:the%20right%20one@{where}")
        assert 'password authentication failed for user "old"' in refusal(old)
        log = site.on_postgres("cat /var/log/postgresql/*.log")
        assert 'User "old" does not have a valid SCRAM secret.' in log
    finally:
        site.stack.sql("DROP OWNED BY old; DROP ROLE old", "app")


def test_a_client_that_knows_no_better_than_md5_is_never_asked_for_it(
    application: Application,
) -> None:
    only_md5 = Application(application.client, f"{application.uri}&require_auth=md5")
    assert "server requested SASL authentication" in refusal(only_md5)


def test_an_address_that_the_firewall_lets_in_and_no_rule_names_is_refused_and_the_log_says_so(
    site: Site, application: Application
) -> None:
    """The Barman machine reaches the port; the application's role may not come from there."""
    uri = site.stack.outputs["databases"]["app"]["uri"].partition("?")[0] + "?sslmode=require"
    output = site.on_barman(f"psql -X {shlex.quote(uri)} -c 'SELECT 1' 2>&1 || true")
    refused = 'no pg_hba.conf entry for host "10.20.1.4", user "app", database "app", SSL'
    assert refused in output
    assert refused in site.on_postgres("cat /var/log/postgresql/*.log")
    assert refusal(application) == ""


def test_a_client_refuses_a_server_that_its_authority_does_not_vouch_for(
    application: Application, tmp_path: Path
) -> None:
    other, _ = issued(timedelta(0))
    assert REFUSED in refusal(trusting(application, tmp_path, other))
    assert refusal(application) == ""


def test_a_foreign_and_an_expired_certificate_are_refused_by_clients_and_by_barman(
    site: Site, application: Application, tmp_path: Path
) -> None:
    path = f"{site.stack.configuration}/server.pem"
    unit = site.stack.unit
    reload = f"systemctl reload {unit}"
    other, foreign = issued(timedelta(0))
    _, expired = issued(timedelta(days=400))
    client = trusting(application, tmp_path, other)
    with put(site, "postgres-lab", path, foreign, reload):
        eventually("a client of ours", lambda: refusal(application), REFUSED)
        eventually("Barman", lambda: barman_refusal(site), REFUSED)
        assert "PostgreSQL: FAILED" in site.on_barman("barman check pg || true")
        with put(site, "barman-lab", AUTHORITY, other):
            # What would be let in, if it were trusted: it is the authority that is refused.
            eventually("a client of theirs", lambda: refusal(client), "")
            eventually("Barman", lambda: barman_refusal(site), "")
            with put(site, "postgres-lab", path, expired, reload):
                eventually("a client of theirs", lambda: refusal(client), REFUSED)
                eventually("Barman", lambda: barman_refusal(site), REFUSED)
    eventually("a client of ours", lambda: refusal(application), "")
    eventually("Barman", lambda: barman_refusal(site), "")
    site.stack.until_content()
