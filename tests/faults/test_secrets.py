"""Passwords, keys and certificates recreated while clients commit."""

import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import psycopg
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from components import certificates
from tests.faults.expectations import nothing_lost_nor_failed
from tests.faults.report import Report
from tests.support.site import ADDRESS, FALLBACK, POSTGRES, Site
from tests.support.waiting import eventually
from tools.faults_page import Row

pytestmark = [pytest.mark.secrets, pytest.mark.deep]


@pytest.mark.parametrize("what", ["password", "ssh", "tls"])
def test_rotated(site: Site, report: Report, what: str) -> None:
    name = {"password": "password", "ssh": "SSH keys", "tls": "certificate"}[what]
    row = Row(f"{name} rotated", FALLBACK)
    with site.writing() as ledger:
        began = time.monotonic()
        try:
            site.stack.ops("rotate", what, "--yes")
        finally:
            site.stack.read_outputs_again()
        row.protected_after_s = time.monotonic() - began
        ledger.wait_for_more(50)
    row.seen = f"longest commit {ledger.longest_commit():.2f} s, none failed"
    nothing_lost_nor_failed(site, ledger, row, report)
    with site.writing() as after:
        after.wait_for_more(20)
    site.stack.until_content()


def issued(site: Site, moment: datetime) -> str:
    """A server file by the stack's own authority, whose secret is in the stack's state."""
    output = site.stack.pulumi("stack", "export", "--show-secrets").stdout
    (secret,) = (
        json.loads(item["outputs"]["result"]["plaintext"])
        for item in json.loads(output)["deployment"]["resources"]
        if item["urn"].endswith("-authority")
    )
    authority = x509.load_pem_x509_certificate(site.stack.outputs["caCertificate"].encode())
    (name,) = authority.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return certificates.server_file(
        hashlib.sha256(secret.encode()).digest(),
        str(name.value),
        b"any other key",
        POSTGRES,
        IPv4Address(ADDRESS[POSTGRES]),
        moment.strftime(certificates.MOMENT),
    )


def put(site: Site, server_file: str) -> None:
    """Let PostgreSQL show this certificate."""
    path = f"{site.stack.configuration}/server.pem"
    site.stack.on(
        POSTGRES, f"cat >{path} <<'END'\n{server_file}END\nsystemctl reload {site.stack.unit}"
    )


def let_in(site: Site) -> str:
    """Empty if a client is, else why not."""
    try:
        site.application.connect().close()
    except psycopg.OperationalError as error:
        return str(error)
    return ""


def test_certificate_expired_and_rotated(site: Site, report: Report) -> None:
    row = Row("certificate expired, then rotated", FALLBACK)
    now = datetime.now(UTC)
    with site.writing() as ledger:
        # The same by the same authority, not expired: it is the date that is refused.
        put(site, issued(site, now))
        eventually("a client to be let in", lambda: let_in(site) == "")
        put(site, issued(site, now - timedelta(days=398)))
        eventually("a client to refuse", lambda: "certificate verify failed" in let_in(site))
        ledger.wait_for_more(50)
        assert "PostgreSQL's certificate expired" in site.stack.reasons()
        began = time.monotonic()
        site.stack.ops("rotate", "tls", "--yes")
        assert let_in(site) == ""
        row.protected_after_s = time.monotonic() - began
        ledger.wait_for_more(50)
    row.seen = "new connections are refused, open ones go on; ops rotate tls fixes it"
    nothing_lost_nor_failed(site, ledger, row, report)
    site.stack.until_content()
