"""The Barman machine: its configuration, credentials, and the way through it to PostgreSQL."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pulumi
from pulumi_command import remote

from components import certificates
from components.identities import BARMAN_ROLE, STREAMING_ROLE, Identities
from components.machine import MOUNT_POINT, Machine, MachineArgs
from components.machine_files import hardening, machine_file, ssh_directory, ssh_files
from components.remote import OPERATOR, fact, run_program
from host import render
from settings import schedule
from settings.addresses import AddressPlan
from settings.retention import RecoveryWindow

HOME = "/var/lib/barman"
BARMAN_HOME = f"{MOUNT_POINT}/barman"
# One server; its name and slot as in Barman's own examples and the field report.
SERVER = "pg"
SLOT = "barman"


@dataclass(frozen=True)
class BarmanServerArgs:
    """`machine` describes the VM; `backup_interval` is the longest time between two scheduled
    backups; `drill_queries` are by database."""

    machine: MachineArgs
    plan: AddressPlan
    retention: RecoveryWindow
    compression: str
    backup_interval: timedelta
    drill_schedule: str
    drill_queries: Mapping[str, str]
    identities: Identities


class BarmanServer(pulumi.ComponentResource):
    """A Machine whose Barman knows the PostgreSQL server when `configured` is, and trusts who can
    show a certificate by `authority` (PEM)."""

    machine: Machine
    authority: pulumi.Output[str]
    configured: remote.Command
    version: pulumi.Output[str]

    def __init__(
        self, name: str, args: BarmanServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("postgres-barman:index:BarmanServer", name, None, opts)
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
            desired=_desired(args, self.authority),
            over=self.machine.connection,
            machines=[self.machine.vm_id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.machine.ready]),
        )
        self.version = fact(self.configured, "version")
        self.register_outputs({"version": self.version})


def _desired(args: BarmanServerArgs, authority: pulumi.Output[str]) -> dict[str, Any]:
    identities = args.identities
    postgres = str(args.plan.postgres_address)
    passwords = pulumi.Output.all(
        **{role: identities.passwords[role] for role in (BARMAN_ROLE, STREAMING_ROLE)}
    )
    return {
        "mount_point": MOUNT_POINT,
        "packages": list(args.machine.packages),
        "server": SERVER,
        "hardening": hardening(render.sshd_hardening_conf(OPERATOR, "barman", postgres)),
        "directories": [
            {"path": BARMAN_HOME, "owner": "barman", "mode": 0o700},
            ssh_directory("barman", HOME),
            {"path": render.DRILL_SCRATCH, "owner": "barman", "mode": 0o700},
            {"path": render.BACKUP_VERIFY_STATE, "owner": "barman", "mode": 0o755},
        ],
        "watch": machine_file(
            "/etc/systemd/system/barman-receiver-watch.service",
            render.receiver_watch_unit(postgres),
        ),
        "units": _drill_units(args, "restore-drill-clean.service", "restore-drill.timer"),
        "verify_timer": machine_file(
            "/etc/systemd/system/backup-verify.timer", render.backup_verify_timer()
        ),
        "files": [
            *ssh_files(
                user="barman",
                home=HOME,
                own=identities.barman_to_postgres,
                known_hosts=identities.postgres_host.public.apply(
                    lambda key: render.known_hosts(postgres, key)
                ),
                authorized_keys=identities.postgres_to_barman.public.apply(
                    lambda key: render.authorized_key(
                        key, postgres, command=f"{render.SSH_GATE} {SERVER}"
                    )
                ),
            ),
            machine_file(
                f"{HOME}/.pgpass",
                passwords.apply(lambda known: render.pgpass(postgres, known)),
                *("barman", 0o600),
            ),
            machine_file(render.SERVER_AUTHORITY, authority),
            machine_file("/etc/barman.conf", render.barman_conf(BARMAN_HOME)),
            machine_file(
                f"/etc/barman.d/{SERVER}.conf",
                render.barman_server_conf(
                    server=SERVER,
                    description=f"PostgreSQL on {postgres}",
                    address=postgres,
                    slot=SLOT,
                    compression=args.compression,
                    retention=args.retention.text,
                    backup_interval=args.backup_interval,
                ),
            ),
            machine_file(render.GUARD, render.program_file("barman-guarded"), mode=0o755),
            machine_file(
                render.REMOVE_BROKEN, render.program_file("remove-broken-backups"), mode=0o755
            ),
            machine_file(
                f"{render.BARMAN_PROGRAMS}/pg_receivewal",
                render.program_file("pg_receivewal"),
                mode=0o755,
            ),
            machine_file(
                render.RECEIVER_WATCH, render.program_file("barman-receiver-watch"), mode=0o755
            ),
            machine_file(render.BACKUP_VERIFY, render.program_file("backup-verify"), mode=0o755),
            machine_file(
                "/etc/systemd/system/backup-verify.service",
                render.backup_verify_unit(BARMAN_HOME, SERVER),
            ),
            machine_file(render.SSH_GATE, render.program_file("barman-ssh-gate"), mode=0o755),
            *_drill(args),
            *_drill_units(args, "restore-drill.service"),
        ],
    }


def _drill(args: BarmanServerArgs) -> list[dict[str, Any]]:
    """What the restore drill consists of, its configuration among them."""
    version = args.machine.image.postgres_version
    return [
        *(
            machine_file(f"{render.DRILL_LIBRARY}/{name}", text)
            for name, text in render.library_sources("restore_drill").items()
        ),
        machine_file(
            "/usr/local/sbin/restore-drill", render.program_file("restore-drill"), mode=0o755
        ),
        machine_file(
            "/etc/restore-drill.json",
            render.restore_drill_json(SERVER, BARMAN_HOME, version, args.drill_queries),
        ),
    ]


def _drill_units(args: BarmanServerArgs, *names: str) -> list[dict[str, Any]]:
    calendar = schedule.on_calendar(args.drill_schedule)
    units = render.restore_drill_units(args.drill_schedule, calendar)
    return [machine_file(f"/etc/systemd/system/{name}", units[name]) for name in names]
