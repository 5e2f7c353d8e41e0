"""Every key and password of the stack, from random secrets in its state: stable and encrypted."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_random as random

from components import ssh_keys
from components.naming import Naming
from host.desired.names import BARMAN_ROLE, STREAMING_ROLE
from settings.model import Settings
from settings.rotations import Rotations

PASSWORD_LENGTH = 32
# Letters and digits worth about 380 bits, hashed to the 256 of a seed. Not RandomBytes: its
# resource id is its value, and ids stand in the state in clear (pulumi-random,
# computeRandomBytesID).
SEED_LENGTH = 64


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
    certificate authority; `rotations`: which secrets are to be recreated."""

    owners: Sequence[str]
    authority: str
    rotations: Rotations

    @classmethod
    def of(cls, settings: Settings, naming: Naming) -> "IdentitiesArgs":
        """As `settings` have it."""
        return cls(
            owners=[database.owner for database in settings.databases],
            authority=naming.authority,
            rotations=settings.rotations,
        )


class Identities(pulumi.ComponentResource):
    """The operator's key, both host keys, the keys between the machines, all role passwords, and
    what the certificates are made from.

    `next_operator` is let in beside `operator` for as long as a rotation is under way.
    """

    operator: Identity
    next_operator: Identity | None
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
        marks = args.rotations
        # One resource for each mark, so that the next key stays the same when it becomes the
        # current one.
        self.operator = self._identity(_marked(f"{name}-operator", marks.ssh))
        self.next_operator = (
            None
            if marks.next_operator is None
            else self._identity(_marked(f"{name}-operator", marks.next_operator))
        )
        self.postgres_host = self._identity(f"{name}-postgres-host")
        self.barman_host = self._identity(f"{name}-barman-host")
        self.barman_to_postgres = self._identity(f"{name}-barman-to-postgres", marks.ssh)
        self.postgres_to_barman = self._identity(f"{name}-postgres-to-barman", marks.ssh)
        roles = dict.fromkeys((BARMAN_ROLE, STREAMING_ROLE, *args.owners))
        self.passwords = {
            role: self._random_text(f"{name}-password-{role}", PASSWORD_LENGTH, marks.password)
            for role in roles
        }
        self.authority = Authority(args.authority, self._seed(f"{name}-authority"))
        self.server_certificate = self._seed(f"{name}-server-certificate", marks.tls)
        self.register_outputs({"operatorPublicKey": self.operator.public})

    def _identity(self, name: str, mark: str = "") -> Identity:
        key = self._seed(name, mark).apply(ssh_keys.derive)
        return Identity(
            private=pulumi.Output.secret(key.apply(lambda pair: pair.private)),
            public=pulumi.Output.unsecret(key.apply(lambda pair: pair.public)),
        )

    def _seed(self, name: str, mark: str = "") -> pulumi.Output[bytes]:
        """32 secret bytes, others for another `mark`."""
        text = self._random_text(name, SEED_LENGTH, mark)
        return text.apply(lambda letters: hashlib.sha256(letters.encode()).digest())

    def _random_text(self, name: str, length: int, mark: str) -> pulumi.Output[str]:
        """Letters and digits only: a password goes into URIs and .pgpass without escaping."""
        return random.RandomPassword(
            name,
            length=length,
            special=False,
            keepers={"rotation": mark} if mark else None,
            opts=pulumi.ResourceOptions(parent=self),
        ).result


def _marked(name: str, mark: str) -> str:
    return f"{name}-{mark.lower()}" if mark else name
