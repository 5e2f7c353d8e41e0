"""The joint between the two servers: slot, receiver, archived WAL, first full backup, cron."""

from dataclasses import dataclass

import pulumi
from pulumi_command import remote

from components.barman_server import BarmanServer
from components.postgres_server import PostgresServer
from components.remote import run_program
from host.desired import barman


@dataclass(frozen=True)
class StreamingBackupArgs:
    """Both servers; Barman's facts have the schedule and the durability to be proven."""

    postgres: PostgresServer
    barman: BarmanServer


class StreamingBackup(pulumi.ComponentResource):
    """Every committed row on its way to Barman, and a full backup to start from."""

    joined: remote.Command

    def __init__(
        self, name: str, args: StreamingBackupArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("postgres-barman:index:StreamingBackup", name, None, opts)
        self.joined = run_program(
            f"{name}-join",
            program="streaming_backup",
            desired=barman.streaming_backup(args.barman.facts),
            over=args.barman.machine.way,
            machines=[args.postgres.machine.vm_id, args.barman.machine.vm_id],
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[args.postgres.configured, args.barman.configured]
            ),
        )
        self.register_outputs({})
