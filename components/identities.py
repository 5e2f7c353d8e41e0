"""Every key and password of the stack, from random bytes in its state: stable and encrypted."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_random as random

from components import ssh_keys

PASSWORD_LENGTH = 32
BARMAN_ROLE = "barman"
STREAMING_ROLE = "streaming_barman"


@dataclass(frozen=True)
class Identity:
    """An SSH key pair: `private` is a secret OpenSSH key file, `public` an authorized_keys line."""

    private: pulumi.Output[str]
    public: pulumi.Output[str]


@dataclass(frozen=True)
class IdentitiesArgs:
    """`owners`: the roles that own databases and need a password."""

    owners: Sequence[str]


class Identities(pulumi.ComponentResource):
    """The operator's key, both host keys, the keys between the machines, all role passwords."""

    operator: Identity
    postgres_host: Identity
    barman_host: Identity
    barman_to_postgres: Identity
    postgres_to_barman: Identity
    passwords: dict[str, pulumi.Output[str]]

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
        self.passwords = {role: self._password(f"{name}-password-{role}") for role in roles}
        self.register_outputs({"operatorPublicKey": self.operator.public})

    def _identity(self, name: str) -> Identity:
        seed = random.RandomBytes(
            name, length=ssh_keys.SEED_BYTES, opts=pulumi.ResourceOptions(parent=self)
        )
        key = seed.base64.apply(lambda text: ssh_keys.derive(base64.b64decode(text)))
        return Identity(
            private=pulumi.Output.secret(key.apply(lambda pair: pair.private)),
            public=pulumi.Output.unsecret(key.apply(lambda pair: pair.public)),
        )

    def _password(self, name: str) -> pulumi.Output[str]:
        password = random.RandomPassword(
            name,
            length=PASSWORD_LENGTH,
            # Letters and digits only: the password goes into URIs and .pgpass without escaping.
            special=False,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return password.result
