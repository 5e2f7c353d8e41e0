"""Every key and password of the stack, from random secrets in its state: stable and encrypted."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_random as random

from components import ssh_keys

PASSWORD_LENGTH = 32
# Letters and digits worth about 380 bits, hashed to the 256 of a seed. Not RandomBytes: its
# resource id is its value, and ids stand in the state in clear (pulumi-random,
# computeRandomBytesID).
SEED_LENGTH = 64
BARMAN_ROLE = "barman"
STREAMING_ROLE = "streaming_barman"


@dataclass(frozen=True)
class Identity:
    """An SSH key pair: `private` is a secret OpenSSH key file, `public` an authorized_keys line."""

    private: pulumi.Output[str]
    public: pulumi.Output[str]


@dataclass(frozen=True)
class Authority:
    """Who vouches for PostgreSQL's certificate: a name, and the secret seed of its key, which never
    leaves this program."""

    name: str
    seed: pulumi.Output[bytes]


@dataclass(frozen=True)
class IdentitiesArgs:
    """`owners`: the roles that own databases and need a password; `authority`: the name of the
    certificate authority."""

    owners: Sequence[str]
    authority: str


class Identities(pulumi.ComponentResource):
    """The operator's key, both host keys, the keys between the machines, all role passwords, and
    what the certificates are made from."""

    operator: Identity
    postgres_host: Identity
    barman_host: Identity
    barman_to_postgres: Identity
    postgres_to_barman: Identity
    passwords: dict[str, pulumi.Output[str]]
    authority: Authority
    server_certificate: pulumi.Output[bytes]

    def __init__(
        self, name: str, args: IdentitiesArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("postgres-barman:index:Identities", name, None, opts)
        self.operator = self._identity(f"{name}-operator")
        self.postgres_host = self._identity(f"{name}-postgres-host")
        self.barman_host = self._identity(f"{name}-barman-host")
        self.barman_to_postgres = self._identity(f"{name}-barman-to-postgres")
        self.postgres_to_barman = self._identity(f"{name}-postgres-to-barman")
        roles = dict.fromkeys((BARMAN_ROLE, STREAMING_ROLE, *args.owners))
        self.passwords = {
            role: self._random_text(f"{name}-password-{role}", PASSWORD_LENGTH) for role in roles
        }
        self.authority = Authority(args.authority, self._seed(f"{name}-authority"))
        self.server_certificate = self._seed(f"{name}-server-certificate")
        self.register_outputs({"operatorPublicKey": self.operator.public})

    def _identity(self, name: str) -> Identity:
        key = self._seed(name).apply(ssh_keys.derive)
        return Identity(
            private=pulumi.Output.secret(key.apply(lambda pair: pair.private)),
            public=pulumi.Output.unsecret(key.apply(lambda pair: pair.public)),
        )

    def _seed(self, name: str) -> pulumi.Output[bytes]:
        """32 secret bytes."""
        text = self._random_text(name, SEED_LENGTH)
        return text.apply(lambda letters: hashlib.sha256(letters.encode()).digest())

    def _random_text(self, name: str, length: int) -> pulumi.Output[str]:
        """Letters and digits only: a password goes into URIs and .pgpass without escaping."""
        return random.RandomPassword(
            name, length=length, special=False, opts=pulumi.ResourceOptions(parent=self)
        ).result
