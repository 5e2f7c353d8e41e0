"""Our own certificate authority, and the server certificate that it issues.

Everything follows from seeds in the stack's state and the moment of issue: the same keys, the same
signatures (RFC 6979), the same bytes with every `pulumi up`. Pure.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

# A moment as the settings, the state and the machines write it: sorts as text, and YAML does not
# take it for a date.
MOMENT = "%Y%m%dT%H%M%SZ"
AUTHORITY_LIFE = timedelta(days=3652)
SERVER_LIFE = timedelta(days=397)
# How long before its end an update issues the server's again.
RENEWAL = timedelta(days=30)
# Certificates are valid a little before their issue: clocks differ.
LEEWAY = timedelta(days=1)

_CURVE = ec.SECP256R1()
# The order of that curve's base point (NIST SP 800-186, 3.2.1.3).
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def server_issue(begun: str, now: datetime) -> str:
    """The moment of issue (a MOMENT) of a server's certificate that was first issued at `begun`:
    the latest by `now` of those that follow each other with RENEWAL in common.

    So at each moment every update issues the same, with at least RENEWAL left, however long nobody
    has updated the stack.
    """
    at, interval = _moment(begun), SERVER_LIFE - RENEWAL
    renewed = max(0, (now - at) // interval)
    return (at + renewed * interval).strftime(MOMENT)


def authority_certificate(seed: bytes, name: str, issued: str) -> str:
    """PEM of the authority `name`, valid for ten years from `issued` (a MOMENT).

    Issued again later it has the same key: whoever trusts the older one trusts what it signs.
    """
    key = _key(seed)
    builder = (
        _builder(name, name, key, issued, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return _pem(_signed(builder, key))


def server_file(
    authority_seed: bytes,
    authority_name: str,
    seed: bytes,
    host_name: str,
    address: IPv4Address,
    issued: str,
) -> str:
    """PEM of a server's private key and, behind it, its certificate for `address` and `host_name`,
    valid for 397 days from `issued` (a MOMENT). Secret.

    In one file because it is replaced in one step: a key without its certificate stops a server.
    """
    authority, key = _key(authority_seed), _key(seed)
    names = x509.SubjectAlternativeName([x509.IPAddress(address), x509.DNSName(host_name)])
    builder = (
        _builder(host_name, authority_name, key, issued, SERVER_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(names, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()),
            critical=False,
        )
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private.decode() + _pem(_signed(builder, authority))


def _key(seed: bytes) -> ec.EllipticCurvePrivateKey:
    """The key that belongs to `seed`. 512 bits before the modulus leave no bias to speak of
    (FIPS 186-5, A.2.1)."""
    wide = int.from_bytes(hashlib.sha512(seed).digest())
    return ec.derive_private_key(wide % (_ORDER - 1) + 1, _CURVE)


def _builder(
    subject: str, issuer: str, key: ec.EllipticCurvePrivateKey, issued: str, life: timedelta
) -> x509.CertificateBuilder:
    at = _moment(issued)
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    serial = hashlib.sha256(identifier.digest + issued.encode()).digest()[:16]
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(public)
        # Never 0, which is no serial number.
        .serial_number(int.from_bytes(b"\x01" + serial))
        .not_valid_before(at - LEEWAY)
        .not_valid_after(at + life)
        .add_extension(identifier, critical=False)
    )


def _moment(text: str) -> datetime:
    return datetime.strptime(text, MOMENT).replace(tzinfo=UTC)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _signed(
    builder: x509.CertificateBuilder, authority: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    return builder.sign(authority, hashes.SHA256(), ecdsa_deterministic=True)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
