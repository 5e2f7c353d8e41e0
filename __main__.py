"""PostgreSQL and its Barman on Azure: settings -> components -> outputs."""

from functools import partial

import pulumi

from cloud_init import packages
from components.alerts import Alerts, AlertsArgs
from components.barman_server import BarmanServer, BarmanServerArgs
from components.identities import Identities, IdentitiesArgs
from components.machine import MachineArgs
from components.monitoring import Monitoring, MonitoringArgs
from components.network import Network, NetworkArgs
from components.outputs import outputs
from components.postgres_server import Durability, PostgresServer, PostgresServerArgs
from components.streaming_backup import StreamingBackup, StreamingBackupArgs
from components.teardown_guard import TeardownGuard
from settings.load import load_settings

settings = load_settings()
stack = pulumi.get_stack()
tags = {"project": pulumi.get_project(), "stack": stack}
plan = settings.addresses
version = settings.image.postgres_version

identities = Identities(
    "identities",
    IdentitiesArgs(
        owners=[database.owner for database in settings.databases],
        authority=f"{pulumi.get_project()} {stack}",
        rotations=settings.rotations,
    ),
)
network = Network(
    "network",
    NetworkArgs(
        prefix=f"{pulumi.get_project()}-{stack}",
        location=settings.location,
        vnet_cidr=settings.vnetCidr,
        plan=plan,
        client_cidrs=settings.clientCidrs,
        admin_cidrs=settings.adminCidrs,
        public_ssh=settings.sshAccess == "public",
        tags=tags,
    ),
)
machine_args = partial(
    MachineArgs,
    resource_group_name=network.resource_group_name,
    location=settings.location,
    image=settings.image,
    encryption_at_host=settings.encryptionAtHost,
    disk_sku=settings.diskSku,
    disk_lock=settings.diskLocks,
    operator=identities.operator,
    next_operator=identities.next_operator,
)
barman_machine = machine_args(
    host_name=f"barman-{stack}",
    size=settings.barmanVmSize,
    subnet_id=network.barman_subnet_id,
    private_address=plan.barman_address,
    public_ip=network.jump_ip,
    data_disk_gib=settings.barmanDiskGb,
    data_disk_setting="barmanDiskGb",
    packages=packages.barman(version),
    host_identity=identities.barman_host,
    jump=None,
    tags={**tags, "role": "barman"},
)
barman = BarmanServer(
    "barman",
    BarmanServerArgs(
        machine=barman_machine,
        plan=plan,
        retention=settings.retention,
        compression=settings.compression,
        backup_interval=settings.backup_interval,
        drill_schedule=settings.drillSchedule,
        drill_queries={
            database.name: database.drillQuery
            for database in settings.databases
            if database.drillQuery
        },
        identities=identities,
    ),
)
postgres_machine = machine_args(
    host_name=f"postgres-{stack}",
    size=settings.postgresVmSize,
    subnet_id=network.postgres_subnet_id,
    private_address=plan.postgres_address,
    public_ip=None,
    data_disk_gib=settings.postgresDiskGb,
    data_disk_setting="postgresDiskGb",
    packages=packages.postgres(version),
    host_identity=identities.postgres_host,
    jump=barman.machine.endpoint if network.jump_ip else None,
    tags={**tags, "role": "postgres"},
)
postgres = PostgresServer(
    "postgres",
    PostgresServerArgs(
        machine=postgres_machine,
        plan=plan,
        client_cidrs=settings.clientCidrs,
        parameters=settings.postgresParameters,
        databases=settings.databases,
        durability=Durability(settings.durability, settings.fallbackAfterSeconds),
        certificate_mark=settings.rotations.tls,
        identities=identities,
    ),
)
backup = StreamingBackup(
    "backup",
    StreamingBackupArgs(
        postgres=postgres,
        barman=barman,
        schedule=settings.backupSchedule,
        durability=settings.durability,
    ),
)
monitoring = Monitoring(
    "monitoring",
    MonitoringArgs(
        postgres=postgres,
        barman=barman,
        plan=plan,
        backup_interval=settings.backup_interval,
        delivery=settings.delivery,
    ),
)
# Its name stands in the engine's refusal to destroy the stack: it says what to type instead.
everything = [identities, network, barman, postgres, backup, monitoring]
TeardownGuard("use-python-m-ops-teardown", everything)
if settings.alertEmail:
    Alerts(
        "alerts",
        AlertsArgs(
            prefix=f"{pulumi.get_project()}-{stack}",
            resource_group_name=network.resource_group_name,
            email=settings.alertEmail,
            machines={
                "postgres": postgres.machine.resource_id,
                "barman": barman.machine.resource_id,
            },
            tags=tags,
        ),
    )
for name, value in outputs(
    settings, identities, postgres, barman, (postgres_machine, barman_machine)
).items():
    pulumi.export(name, value)
