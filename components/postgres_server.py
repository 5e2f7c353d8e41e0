"""The PostgreSQL machine: cluster on the data disk, access rules, roles and databases."""

from dataclasses import dataclass
from datetime import UTC, datetime

import pulumi
from pulumi_command import remote

from cloud_init import packages
from components import certificates
from components.identities import Identities
from components.machine import Machine, MachineArgs, alike
from components.naming import Naming
from components.network import Network
from components.remote import Endpoint, fact, run_program
from host.desired import postgres
from host.desired.names import BARMAN_ROLE, STREAMING_ROLE
from host.desired.pooler import PoolerFacts
from host.desired.postgres import Database, PostgresCredentials, PostgresFacts
from settings.model import Settings
from settings.parameters import encryption


@dataclass(frozen=True)
class PostgresServerArgs:
    """`machine` describes the VM, `facts` what is on it. Its certificate is issued at its machine's
    first boot, or at `certificate_mark` when that is later, and again 30 days before its end.
    """

    machine: MachineArgs
    facts: PostgresFacts
    certificate_mark: str
    identities: Identities

    @classmethod
    def of(
        cls,
        settings: Settings,
        naming: Naming,
        identities: Identities,
        network: Network,
        jump: Endpoint,
    ) -> "PostgresServerArgs":
        """As `settings` have it; `jump` is the way in when it leads through a public address."""
        wanted = packages.postgres(settings.image.postgres_version)
        return cls(
            machine=alike(settings, identities, network)(
                host_name=naming.host("postgres"),
                size=settings.postgresVmSize,
                size_setting="postgresVmSize",
                subnet_id=network.postgres_subnet_id,
                private_address=settings.addresses.postgres_address,
                public_ip=None,
                data_disk_gib=settings.postgresDiskGb,
                data_disk_setting="postgresDiskGb",
                packages=wanted,
                host_identity=identities.postgres_host,
                jump=jump if network.jump_ip else None,
                tags=naming.machine_tags("postgres"),
            ),
            facts=_facts(settings, wanted),
            certificate_mark=settings.rotations.tls,
            identities=identities,
        )


class PostgresServer(pulumi.ComponentResource):
    """A Machine whose PostgreSQL accepts connections when `configured` is."""

    facts: PostgresFacts
    machine: Machine
    configured: remote.Command
    version: pulumi.Output[str]

    def __init__(
        self, name: str, args: PostgresServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("postgres-barman:index:PostgresServer", name, None, opts)
        self.facts = args.facts
        self.machine = Machine(f"{name}-machine", args.machine, pulumi.ResourceOptions(parent=self))
        self.configured = run_program(
            f"{name}-configure",
            program="postgres",
            desired=_credentials(args, self.machine.first_booted).apply(
                lambda known: postgres.configuration(args.facts, known)
            ),
            over=self.machine.way,
            machines=[self.machine.vm_id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.machine.ready]),
        )
        self.version = fact(self.configured, "version")
        self.register_outputs({"version": self.version})


def _facts(settings: Settings, wanted: tuple[str, ...]) -> PostgresFacts:
    version = settings.image.postgres_version
    return PostgresFacts(
        version=version,
        packages=wanted,
        address=str(settings.addresses.postgres_address),
        barman_address=str(settings.addresses.barman_address),
        client_cidrs=tuple(str(cidr) for cidr in settings.clientCidrs),
        parameters={**settings.parameters, **encryption(postgres.server_file(version))},
        databases=tuple(
            Database(database.name, database.owner, database.extensions)
            for database in settings.databases
        ),
        durability=settings.durability,
        fallback_after_s=settings.fallbackAfterSeconds,
        snapshot_every_s=settings.snapshotEveryHours * 3600 or None,
        snapshots_kept=settings.snapshotsKept,
        pooler=PoolerFacts(settings.pool_size) if settings.pooler else None,
    )


def _credentials(
    args: PostgresServerArgs, first_booted: pulumi.Output[str]
) -> pulumi.Output[PostgresCredentials]:
    identities = args.identities
    owners = (database.owner for database in args.facts.databases)
    roles = dict.fromkeys((BARMAN_ROLE, STREAMING_ROLE, *owners))
    return pulumi.Output.all(
        private_key=identities.postgres_to_barman.private,
        barman_host_key=identities.barman_host.public,
        barman_key=identities.barman_to_postgres.public,
        passwords={role: identities.passwords[role] for role in roles},
        server_file=_server_file(args, first_booted),
    ).apply(lambda known: PostgresCredentials(**known))


def _server_file(args: PostgresServerArgs, first_booted: pulumi.Output[str]) -> pulumi.Output[str]:
    authority = args.identities.authority
    return pulumi.Output.all(
        authority.seed, args.identities.server_certificate, first_booted
    ).apply(
        lambda known: certificates.server_file(
            authority_seed=known[0],
            authority_name=authority.name,
            seed=known[1],
            host_name=args.machine.host_name,
            address=args.machine.private_address,
            issued=certificates.server_issue(
                max(known[2], args.certificate_mark), datetime.now(UTC)
            ),
        )
    )
