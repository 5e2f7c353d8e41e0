"""Ed25519 SSH keys from 32-byte seeds, so that a key lives in the stack's state as random bytes.

Serialised here because the usual library puts fresh random bytes into every rendering of the same
private key: each `pulumi up` would see a change where there is none. Format: OpenSSH's
PROTOCOL.key, unencrypted, with check bytes taken from the seed. Pure.
"""

import base64
import hashlib
import struct
import textwrap
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEED_BYTES = 32
_TYPE = b"ssh-ed25519"
_BLOCK = 8


@dataclass(frozen=True)
class SshKey:
    """`private` is an OpenSSH private key file, `public` one authorized_keys line, no comment."""

    private: str
    public: str


def derive(seed: bytes) -> SshKey:
    """The key that belongs to `seed`, the same every time.

    Raises ValueError when `seed` is not 32 bytes long.
    """
    if len(seed) != SEED_BYTES:
        raise ValueError(f"an Ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}")
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    public_blob = _string(_TYPE) + _string(public)
    check = hashlib.sha256(b"check" + seed).digest()[:4]
    secret = check + check + public_blob + _string(seed + public) + _string(b"")
    secret += bytes(range(1, _BLOCK - len(secret) % _BLOCK + 1)) if len(secret) % _BLOCK else b""
    blob = (
        b"openssh-key-v1\0"
        + _string(b"none")
        + _string(b"none")
        + _string(b"")
        + struct.pack(">I", 1)
        + _string(public_blob)
        + _string(secret)
    )
    body = "\n".join(textwrap.wrap(base64.b64encode(blob).decode(), 70))
    return SshKey(
        private=f"-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\n-----END OPENSSH PRIVATE KEY-----\n",
        public=f"ssh-ed25519 {base64.b64encode(public_blob).decode()}",
    )


def _string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
