"""The stack's outputs: what the runbooks read. Described in docs/outputs.md; a test compares."""

from datetime import timedelta
from typing import Any

import pulumi

from components.barman_server import BarmanServer
from components.identities import Identities
from components.machine import Machine
from components.monitoring import Monitoring
from components.postgres_server import PostgresServer
from components.remote import SSH_PORT, in_force
from components.streaming_backup import StreamingBackup
from host.desired.names import OPERATOR, SERVER, SLOT
from host.desired.postgres import data_directory
from host.domain.paths import BARMAN_HOME, PORT
from host.domain.pooler import PORT as POOLER_PORT
from settings.model import Settings

README = """\
# PostgreSQL with Barman

State of the pair: `python -m ops status`
Connection string of a database: `pulumi stack output databases --show-secrets`
Its clients verify the server by: `pulumi stack output caCertificate` (sslrootcert)
Operator's SSH key: `pulumi stack output sshPrivateKey --show-secrets`

PostgreSQL has no public address; go through the Barman machine. Runbooks: docs/runbooks/.
"""


def outputs(
    settings: Settings,
    identities: Identities,
    postgres: PostgresServer,
    barman: BarmanServer,
    backup: StreamingBackup,
    monitoring: Monitoring,
) -> dict[str, Any]:
    """Name -> value of every stack output."""
    version = settings.image.postgres_version
    return {
        "postgres": {
            **_machine(postgres.machine),
            "dataDirectory": data_directory(version),
            "version": postgres.version,
        },
        "barman": {
            **_machine(barman.machine),
            "dataDirectory": BARMAN_HOME,
            "version": barman.version,
        },
        "backup": {
            "serverName": SERVER,
            "slot": SLOT,
            "schedule": settings.backupSchedule,
            "retention": settings.retention.text,
            "durability": settings.durability,
            "fallbackAfterSeconds": settings.fallbackAfterSeconds,
            "copiesKept": settings.demand.copies,
            "intervalHours": settings.backup_interval / timedelta(hours=1),
        },
        **({"pooler": {"port": POOLER_PORT}} if settings.pooler else {}),
        "databases": _databases(settings, identities),
        "caCertificate": barman.authority,
        "sshPrivateKey": identities.operator.private,
        # Known once everything that uses the secrets has them.
        "rotations": pulumi.Output.all(
            *(server.configured.stdout for server in (postgres, barman)),
            *(server.machine.operators.stdout for server in (postgres, barman)),
        ).apply(lambda _: settings.rotations.model_dump()),
        "inForce": {
            "postgres": {
                "postgres": in_force(postgres.configured),
                "monitoring": in_force(monitoring.on_postgres),
            },
            "barman": {
                "barman": in_force(barman.configured),
                "monitoring": in_force(monitoring.on_barman),
                "streaming_backup": in_force(backup.joined),
            },
        },
        "readme": README,
    }


def _machine(machine: Machine) -> dict[str, Any]:
    args = machine.args
    return {
        "name": args.host_name,
        "privateAddress": str(args.private_address),
        "sshAddress": machine.endpoint.address,
        "sshPort": SSH_PORT,
        "sshUser": OPERATOR,
        "hostKey": machine.endpoint.host_key,
        "vmSize": args.size.name,
        "dataDiskGb": args.data_disk_gib,
    }


def _databases(settings: Settings, identities: Identities) -> dict[str, Any]:
    ports = {"uri": PORT} | ({"poolerUri": POOLER_PORT} if settings.pooler else {})
    return {
        database.name: {
            "owner": database.owner,
            **{
                name: pulumi.Output.format(
                    "postgresql://{0}:{1}@{2}:{3}/{4}?sslmode=verify-full",
                    database.owner,
                    identities.passwords[database.owner],
                    str(settings.addresses.postgres_address),
                    port,
                    database.name,
                )
                for name, port in ports.items()
            },
        }
        for database in settings.databases
    }
