"""The Barman machine: its configuration, credentials, and the way through it to PostgreSQL."""

from dataclasses import dataclass

import pulumi
from pulumi_command import remote

from cloud_init import packages
from components import certificates
from components.identities import Identities
from components.machine import Machine, MachineArgs, alike
from components.naming import Naming
from components.network import Network
from components.remote import fact, run_program
from host.desired import barman
from host.desired.barman import BarmanCredentials, BarmanFacts
from host.desired.names import BARMAN_ROLE, STREAMING_ROLE
from settings import schedule
from settings.model import Settings


@dataclass(frozen=True)
class BarmanServerArgs:
    """`machine` describes the VM, `facts` what is on it."""

    machine: MachineArgs
    facts: BarmanFacts
    identities: Identities

    @classmethod
    def of(
        cls, settings: Settings, naming: Naming, identities: Identities, network: Network
    ) -> "BarmanServerArgs":
        """As `settings` have it."""
        wanted = packages.barman(settings.image.postgres_version)
        return cls(
            machine=alike(settings, identities, network)(
                host_name=naming.host("barman"),
                size=settings.barmanVmSize,
                size_setting="barmanVmSize",
                subnet_id=network.barman_subnet_id,
                private_address=settings.addresses.barman_address,
                public_ip=network.jump_ip,
                data_disk_gib=settings.barmanDiskGb,
                data_disk_setting="barmanDiskGb",
                packages=wanted,
                host_identity=identities.barman_host,
                jump=None,
                tags=naming.machine_tags("barman"),
            ),
            facts=_facts(settings, wanted),
            identities=identities,
        )


class BarmanServer(pulumi.ComponentResource):
    """A Machine whose Barman knows the PostgreSQL server when `configured` is, and trusts who can
    show a certificate by `authority` (PEM)."""

    facts: BarmanFacts
    machine: Machine
    authority: pulumi.Output[str]
    configured: remote.Command
    version: pulumi.Output[str]

    def __init__(
        self, name: str, args: BarmanServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("postgres-barman:index:BarmanServer", name, None, opts)
        self.facts = args.facts
        self.machine = Machine(f"{name}-machine", args.machine, pulumi.ResourceOptions(parent=self))
        authority = args.identities.authority
        self.authority = pulumi.Output.unsecret(
            pulumi.Output.all(authority.seed, self.machine.first_booted).apply(
                lambda known: certificates.authority_certificate(known[0], authority.name, known[1])
            )
        )
        self.configured = run_program(
            f"{name}-configure",
            program="barman",
            desired=_credentials(args.identities, self.authority).apply(
                lambda known: barman.configuration(args.facts, known)
            ),
            over=self.machine.way,
            machines=[self.machine.vm_id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.machine.ready]),
        )
        self.version = fact(self.configured, "version")
        self.register_outputs({"version": self.version})


def _facts(settings: Settings, wanted: tuple[str, ...]) -> BarmanFacts:
    return BarmanFacts(
        version=settings.image.postgres_version,
        packages=wanted,
        postgres_address=str(settings.addresses.postgres_address),
        compression=settings.compression,
        retention=settings.retention.text,
        backup_schedule=settings.backupSchedule,
        backup_interval=settings.backup_interval,
        drill_schedule=settings.drillSchedule,
        drill_calendar=schedule.on_calendar(settings.drillSchedule),
        drill_queries={
            database.name: database.drillQuery
            for database in settings.databases
            if database.drillQuery
        },
        durability=settings.durability,
        delivery=settings.delivery,
        pooler=settings.pooler,
    )


def _credentials(
    identities: Identities, authority: pulumi.Output[str]
) -> pulumi.Output[BarmanCredentials]:
    return pulumi.Output.all(
        private_key=identities.barman_to_postgres.private,
        postgres_host_key=identities.postgres_host.public,
        postgres_key=identities.postgres_to_barman.public,
        passwords={role: identities.passwords[role] for role in (BARMAN_ROLE, STREAMING_ROLE)},
        authority=authority,
    ).apply(lambda known: BarmanCredentials(**known))
