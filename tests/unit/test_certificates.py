"""Certificates from seeds: stable, and what OpenSSL and a verify-full client ask of them."""

import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from components import certificates

AUTHORITY, SERVER = b"a" * 32, b"s" * 32
ADDRESS = IPv4Address("10.20.0.4")
ISSUED = "20261124T110000Z"

seeds = st.binary(min_size=32, max_size=32)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2099, 1, 1)).map(
    lambda at: at.strftime(certificates.MOMENT)
)


def server(
    authority: bytes = AUTHORITY, seed: bytes = SERVER, issued: str = ISSUED, name: str = "CA"
) -> str:
    return certificates.server_file(authority, name, seed, "postgres-dev", ADDRESS, issued)


def certificate(pem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem[pem.index("-----BEGIN CERTIFICATE") :].encode())


@given(seeds, seeds, moments)
def test_the_same_seeds_and_moment_are_the_same_bytes(one: bytes, other: bytes, at: str) -> None:
    pem = server(one, other, at)
    authority = certificates.authority_certificate(one, "CA", at)
    assert pem == server(one, other, at)
    assert authority == certificates.authority_certificate(one, "CA", at)
    certificate(pem).verify_directly_issued_by(certificate(authority))
    certificate(authority).verify_directly_issued_by(certificate(authority))
    key = load_pem_private_key(pem.encode(), None)
    assert key.public_key() == certificate(pem).public_key()


@given(seeds, seeds, moments)
def test_an_authority_issued_again_is_trusted_through_its_older_certificate(
    one: bytes, other: bytes, at: str
) -> None:
    older = certificates.authority_certificate(one, "CA", "20200101T000000Z")
    certificate(server(one, other, at)).verify_directly_issued_by(certificate(older))


def test_another_seed_or_moment_is_another_certificate() -> None:
    found = [
        certificate(pem)
        for pem in (server(), server(seed=b"t" * 32), server(issued="20261124T110001Z"))
    ]
    assert len({item.serial_number for item in found}) == 3
    assert found[0].public_key() != found[1].public_key()
    assert found[0].public_key() == found[2].public_key()


def test_how_long_they_are_valid() -> None:
    at = datetime(2026, 11, 24, 11, tzinfo=UTC)
    for pem, life in (
        (server(), timedelta(days=397)),
        (certificates.authority_certificate(AUTHORITY, "CA", ISSUED), timedelta(days=3652)),
    ):
        found = certificate(pem)
        assert found.not_valid_before_utc == at - timedelta(days=1)
        assert found.not_valid_after_utc == at + life


@given(moments, st.timedeltas(timedelta(0), timedelta(days=4000)))
def test_an_update_never_brings_a_server_s_certificate_that_ends_within_30_days(
    begun: str, age: timedelta
) -> None:
    now = datetime.strptime(begun, certificates.MOMENT).replace(tzinfo=UTC) + age
    issued = certificates.server_issue(begun, now)
    found = certificate(server(issued=issued))
    assert found.not_valid_before_utc <= now < found.not_valid_after_utc
    # No update touches it until 30 days before its end, and from then on each does.
    renewal = found.not_valid_after_utc - timedelta(days=30)
    assert now < renewal
    assert certificates.server_issue(begun, renewal - timedelta(seconds=1)) == issued
    assert certificates.server_issue(begun, renewal) == renewal.strftime(certificates.MOMENT)
    assert (issued == begun) is (age < timedelta(days=367))


def test_a_clock_behind_the_first_boot_issues_it_as_of_the_first_boot() -> None:
    assert certificates.server_issue(ISSUED, datetime(2026, 11, 24, 10, tzinfo=UTC)) == ISSUED


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-verify_ip", "10.20.0.4"], "OK"),
        (["-verify_hostname", "postgres-dev"], "OK"),
        (["-verify_ip", "10.20.0.5"], "IP address mismatch"),
        (["-purpose", "sslclient"], "unsuitable certificate purpose"),
        (["-attime", "1900000000"], "certificate has expired"),
        (["-attime", "1795000000"], "certificate is not yet valid"),
    ],
)
def test_openssl_judges_the_server_s(words: list[str], expected: str, tmp_path: Path) -> None:
    assert expected in verify(tmp_path, server(), words)


def test_openssl_refuses_another_authority_of_the_same_name(tmp_path: Path) -> None:
    assert "error" in verify(tmp_path, server(authority=b"b" * 32), [])


def test_a_server_s_certificate_signs_no_other(tmp_path: Path) -> None:
    forged = certificates.server_file(
        SERVER, "postgres-dev", b"f" * 32, "postgres-dev", ADDRESS, ISSUED
    )
    (tmp_path / "between.pem").write_text(server())
    output = verify(tmp_path, forged, ["-untrusted", str(tmp_path / "between.pem")])
    assert "invalid CA certificate" in output


def verify(folder: Path, pem: str, words: list[str]) -> str:
    """What `openssl verify` says of `pem` on 2026-11-25, strictly, given the authority's."""
    authority, leaf = folder / "ca.pem", folder / "leaf.pem"
    authority.write_text(certificates.authority_certificate(AUTHORITY, "CA", ISSUED))
    leaf.write_text(pem)
    at = [] if "-attime" in words else ["-attime", "1795600000"]
    done = subprocess.run(
        [
            "openssl",
            "verify",
            "-x509_strict",
            "-purpose",
            "sslserver",
            *at,
            "-CAfile",
            authority,
            *words,
            leaf,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr
