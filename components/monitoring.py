"""What watches the pair: exporters on both machines, Prometheus and Alertmanager on Barman's."""

from dataclasses import dataclass

import pulumi
from pulumi_command import remote

from components.barman_server import BarmanServer
from components.postgres_server import PostgresServer
from components.remote import run_program
from host.desired import barman, postgres


@dataclass(frozen=True)
class MonitoringArgs:
    """Both servers; Barman's facts have who is notified."""

    postgres: PostgresServer
    barman: BarmanServer


class Monitoring(pulumi.ComponentResource):
    """Metrics, alerts and their delivery, working when both commands are done."""

    on_postgres: remote.Command
    on_barman: remote.Command

    def __init__(
        self, name: str, args: MonitoringArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("postgres-barman:index:Monitoring", name, None, opts)
        self.on_postgres = run_program(
            f"{name}-postgres",
            program="monitoring",
            desired=postgres.monitoring(args.postgres.facts),
            over=args.postgres.machine.way,
            machines=[args.postgres.machine.vm_id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.postgres.configured]),
        )
        self.on_barman = run_program(
            f"{name}-barman",
            program="monitoring",
            desired=barman.monitoring(args.barman.facts),
            over=args.barman.machine.way,
            machines=[args.barman.machine.vm_id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.barman.configured]),
        )
        self.register_outputs({})
