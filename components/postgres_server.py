"""The PostgreSQL machine: cluster on the data disk, access rules, roles and databases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

import pulumi
from pulumi_command import remote

from components import certificates
from components.identities import BARMAN_ROLE, STREAMING_ROLE, Identities
from components.machine import MOUNT_POINT, Machine, MachineArgs
from components.machine_files import hardening, machine_file, ssh_directory, ssh_files
from components.remote import OPERATOR, fact, run_program
from host import render
from host.monitoring.services import ROLE as EXPORTER_ROLE
from settings.addresses import AddressPlan
from settings.model import Database
from settings.parameters import Parameter, derive, encryption

HOME = "/var/lib/postgresql"
# Checksums so that a flipped bit is an error and not an answer; a collation that no upgrade of
# the C library can change under an index (docs/decisions/0005-builtin-collation.md).
INITDB_OPTIONS = (
    "--data-checksums",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C.UTF-8",
)
# What Barman's documentation asks for from PostgreSQL 15 on instead of a superuser.
_BARMAN_FUNCTIONS = (
    "pg_backup_start(text, boolean)",
    "pg_backup_stop(boolean)",
    "pg_switch_wal()",
    "pg_create_restore_point(text)",
)
_BARMAN_ROLES = ("pg_read_all_settings", "pg_read_all_stats", "pg_checkpoint")


def data_directory(version: str) -> str:
    """Where the cluster's data lives."""
    return f"{MOUNT_POINT}/postgresql/{version}/main"


@dataclass(frozen=True)
class Durability:
    """Whether commits wait for Barman, and how long at most with `sync-with-fallback`."""

    level: str
    fallback_after_s: int


@dataclass(frozen=True)
class PostgresServerArgs:
    """`machine` describes the VM; the rest is PostgreSQL's own. Its certificate is issued at its
    machine's first boot, or at `certificate_mark` when that is later, and again when it has ended.
    """

    machine: MachineArgs
    plan: AddressPlan
    client_cidrs: Sequence[IPv4Network]
    parameters: Mapping[str, Parameter]
    databases: Sequence[Database]
    durability: Durability
    certificate_mark: str
    identities: Identities


class PostgresServer(pulumi.ComponentResource):
    """A Machine whose PostgreSQL accepts connections when `configured` is."""

    machine: Machine
    configured: remote.Command
    version: pulumi.Output[str]

    def __init__(
        self, name: str, args: PostgresServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("postgres-barman:index:PostgresServer", name, None, opts)
        self.machine = Machine(f"{name}-machine", args.machine, pulumi.ResourceOptions(parent=self))
        self.configured = run_program(
            f"{name}-configure",
            program="postgres",
            desired=_desired(args, self.machine.first_booted),
            over=self.machine.connection,
            machines=[self.machine.vm_id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[self.machine.ready]),
        )
        self.version = fact(self.configured, "version")
        self.register_outputs({"version": self.version})


def _desired(args: PostgresServerArgs, issued: pulumi.Output[str]) -> dict[str, Any]:
    version = args.machine.image.postgres_version
    config = f"/etc/postgresql/{version}/main"
    server_file = f"{config}/server.pem"
    parameters = {
        **derive(args.machine.size, args.machine.data_disk_gib),
        **args.parameters,
        **encryption(server_file),
    }
    identities = args.identities
    return {
        "mount_point": MOUNT_POINT,
        "packages": list(args.machine.packages),
        "version": version,
        "data_directory": data_directory(version),
        "initdb_options": list(INITDB_OPTIONS),
        "units": [
            machine_file(
                f"/etc/systemd/system/postgresql@{version}-main.service.d/data-disk.conf",
                render.data_disk_unit(MOUNT_POINT),
            )
        ],
        "hardening": hardening(render.sshd_hardening_conf(OPERATOR, "postgres")),
        "directories": [ssh_directory("postgres", HOME)],
        "ssh_gate": machine_file(
            render.POSTGRES_SSH_GATE, render.program_file("postgres-ssh-gate"), mode=0o755
        ),
        "ssh_files": ssh_files(
            user="postgres",
            home=HOME,
            own=identities.postgres_to_barman,
            known_hosts=identities.barman_host.public.apply(
                lambda key: render.known_hosts(str(args.plan.barman_address), key)
            ),
            authorized_keys=identities.barman_to_postgres.public.apply(
                lambda key: render.authorized_key(
                    key, str(args.plan.barman_address), command=render.POSTGRES_SSH_GATE
                )
            ),
        ),
        "server_file": server_file,
        "files": [
            machine_file(server_file, _server_certificate(args, issued), "postgres", 0o600),
            machine_file(
                f"{config}/conf.d/pulumi.conf",
                render.postgresql_conf(parameters),
                *("postgres", 0o640),
            ),
            machine_file(
                f"{config}/pg_hba.conf",
                render.pg_hba_conf(
                    str(args.plan.barman_address), [str(cidr) for cidr in args.client_cidrs]
                ),
                *("postgres", 0o640),
            ),
        ],
        "roles": [
            *(
                _role(role, identities.passwords[role], replication=role == STREAMING_ROLE)
                for role in (BARMAN_ROLE, STREAMING_ROLE)
            ),
            *(
                _role(owner, identities.passwords[owner], replication=False)
                for owner in dict.fromkeys(database.owner for database in args.databases)
            ),
            # The exporter's, which comes over the local socket as its own system user.
            _role(EXPORTER_ROLE, "", replication=False),
        ],
        "heartbeat_files": [
            machine_file(render.HEARTBEAT_SQL, render.program_file("heartbeat.sql"))
        ],
        "heartbeat": machine_file(
            "/etc/systemd/system/heartbeat.service", render.heartbeat_unit(version)
        ),
        "guard_files": _guard(args.durability, config),
        "guard": machine_file(
            "/etc/systemd/system/durability-guard.service", render.durability_guard_unit(config)
        ),
        "grants": _grants(),
        "databases": [
            database.model_dump(mode="json", exclude={"drillQuery"}) for database in args.databases
        ],
    }


def _server_certificate(args: PostgresServerArgs, issued: pulumi.Output[str]) -> pulumi.Output[str]:
    authority = args.identities.authority
    return pulumi.Output.all(authority.seed, args.identities.server_certificate, issued).apply(
        lambda known: certificates.server_file(
            known[0],
            authority.name,
            known[1],
            args.machine.host_name,
            args.plan.postgres_address,
            certificates.server_issue(max(known[2], args.certificate_mark), datetime.now(UTC)),
        )
    )


def _guard(durability: Durability, config: str) -> list[dict[str, Any]]:
    """What the durability guard consists of, its configuration among them."""
    return [
        *(
            machine_file(f"{render.GUARD_LIBRARY}/{name}", text)
            for name, text in render.durability_guard_sources().items()
        ),
        machine_file(
            "/usr/local/sbin/durability-guard", render.program_file("durability-guard"), mode=0o755
        ),
        machine_file(
            "/etc/durability-guard.json",
            render.durability_guard_json(durability.level, durability.fallback_after_s, config),
        ),
    ]


def _role(name: str, password: pulumi.Input[str], *, replication: bool) -> dict[str, Any]:
    return {"name": name, "password": password, "replication": replication}


def _grants() -> list[dict[str, str]]:
    functions = [
        {
            "held": f"has_function_privilege('{BARMAN_ROLE}', '{function}', 'EXECUTE')",
            "statement": f"GRANT EXECUTE ON FUNCTION {function} TO {BARMAN_ROLE}",
        }
        for function in _BARMAN_FUNCTIONS
    ]
    roles = [
        {
            "held": f"pg_has_role('{BARMAN_ROLE}', '{role}', 'MEMBER')",
            "statement": f"GRANT {role} TO {BARMAN_ROLE}",
        }
        for role in _BARMAN_ROLES
    ]
    monitor = {
        "held": f"pg_has_role('{EXPORTER_ROLE}', 'pg_monitor', 'MEMBER')",
        "statement": f"GRANT pg_monitor TO {EXPORTER_ROLE}",
    }
    return [*functions, *roles, monitor]
