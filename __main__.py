"""PostgreSQL and its Barman on Azure: settings -> components -> outputs."""

import os

import pulumi

from components import ssh_agent
from components.alerts import Alerts, AlertsArgs
from components.barman_server import BarmanServer, BarmanServerArgs
from components.identities import Identities, IdentitiesArgs
from components.monitoring import Monitoring, MonitoringArgs
from components.naming import Naming
from components.network import Network, NetworkArgs
from components.outputs import outputs
from components.postgres_server import PostgresServer, PostgresServerArgs
from components.streaming_backup import StreamingBackup, StreamingBackupArgs
from components.teardown_guard import TeardownGuard
from settings.load import load_settings

# A preview connects to no machine.
if not pulumi.runtime.is_dry_run():
    ssh_agent.stand_in_for_a_dead_one(os.environ.get("SSH_AUTH_SOCK"))

settings = load_settings()
naming = Naming(pulumi.get_project(), pulumi.get_stack())

identities = Identities("identities", IdentitiesArgs.of(settings, naming))
network = Network("network", NetworkArgs.of(settings, naming))
barman = BarmanServer("barman", BarmanServerArgs.of(settings, naming, identities, network))
postgres = PostgresServer(
    "postgres",
    # Without a public address of its own, PostgreSQL's machine is reached through Barman's.
    PostgresServerArgs.of(settings, naming, identities, network, jump=barman.machine.endpoint),
)
backup = StreamingBackup("backup", StreamingBackupArgs(postgres, barman))
monitoring = Monitoring("monitoring", MonitoringArgs(postgres, barman))
# Its name stands in the engine's refusal to destroy the stack: it says what to type instead.
TeardownGuard(
    "use-python-m-ops-teardown", [identities, network, barman, postgres, backup, monitoring]
)
if settings.alertEmail:
    Alerts(
        "alerts",
        AlertsArgs(
            prefix=naming.prefix,
            resource_group_name=network.resource_group_name,
            email=settings.alertEmail,
            machines={
                "postgres": postgres.machine.resource_id,
                "barman": barman.machine.resource_id,
            },
            tags=naming.tags,
        ),
    )
for name, value in outputs(settings, identities, postgres, barman, backup, monitoring).items():
    pulumi.export(name, value)
