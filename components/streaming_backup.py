"""The joint between the two servers: slot, receiver, archived WAL, first full backup, cron."""

from dataclasses import dataclass

import pulumi
from pulumi_command import remote

from components.barman_server import SERVER, SLOT, BarmanServer
from components.machine_files import machine_file
from components.postgres_server import PostgresServer
from components.remote import run_program
from host import render


@dataclass(frozen=True)
class StreamingBackupArgs:
    """`schedule` is a cron expression in UTC; `durability` is the level to be proven."""

    postgres: PostgresServer
    barman: BarmanServer
    schedule: str
    durability: str


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
            desired={
                "server": SERVER,
                "slot": SLOT,
                "durability": args.durability,
                "cron": machine_file(
                    "/etc/cron.d/barman", render.barman_cron(SERVER, args.schedule)
                ),
            },
            over=args.barman.machine.connection,
            machines=[args.postgres.machine.vm_id, args.barman.machine.vm_id],
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[args.postgres.configured, args.barman.configured]
            ),
        )
        self.register_outputs({})
