"""What PostgreSQL's machine consists of. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from host import render
from host.desired import files
from host.desired import pooler as poolers
from host.desired.files import Desired, Directory, File, Hardening, OwnService
from host.desired.monitoring import Monitoring, service, unwanted
from host.desired.names import BARMAN_ROLE, OPERATOR, STREAMING_ROLE
from host.desired.pooler import Pooler, PoolerFacts
from host.domain import pooler, sessions
from host.domain.paths import LOCAL_SNAPSHOTS, MOUNT_POINT, SNAPSHOTS
from host.monitoring import services
from host.render import Parameter

HOME = "/var/lib/postgresql"
# The role, and the database of the same name, that every cluster is made with.
SUPERUSER = "postgres"
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
# With every other connection taken, they still get one.
_RESERVED = "pg_use_reserved_connections"
# For `ops top`, in the database that every cluster has.
_STATISTICS = "pg_stat_statements"


@dataclass(frozen=True)
class Database:
    """`owner` is a role that logs in."""

    name: str
    owner: str
    extensions: tuple[str, ...]


@dataclass(frozen=True)
class PostgresFacts:
    """What is known of the machine before it exists. `version` is PostgreSQL's major version,
    `packages` are the distribution's, addresses are private ones; `parameters` are all of
    postgresql.conf's that are not its defaults; `pooler` is None where there is to be none. A local
    snapshot is taken every `snapshot_every_s` seconds, or not at all by itself where that is None;
    the newest `snapshots_kept` of these are kept."""

    version: str
    packages: tuple[str, ...]
    address: str
    barman_address: str
    client_cidrs: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    databases: tuple[Database, ...]
    durability: str
    fallback_after_s: int
    snapshot_every_s: int | None
    snapshots_kept: int
    pooler: PoolerFacts | None = None


@dataclass(frozen=True)
class PostgresCredentials:
    """Keys, passwords and the certificate. `private_key` (secret) reaches Barman's machine, whose
    host key is `barman_host_key`; `barman_key` is let in; both are authorized_keys lines.
    `passwords` (secret) are by role. `server_file` (secret) is the PEM of the server's key and its
    certificate."""

    private_key: str = field(repr=False)
    barman_host_key: str
    barman_key: str
    passwords: Mapping[str, str] = field(repr=False)
    server_file: str = field(repr=False)


@dataclass(frozen=True)
class Role:
    """A role that logs in; without a password, as its peer on this machine only. Its `settings` win
    over the server's and those of a database."""

    name: str
    password: str = field(repr=False)
    replication: bool
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Grant:
    """`statement` is run unless the expression `held` is true. Both are SQL. `note` says so in
    fewer words."""

    held: str
    statement: str
    note: str = ""


@dataclass(frozen=True)
class Configuration(Desired):
    """For host/programs/postgres.py."""

    mount_point: str
    packages: tuple[str, ...]
    version: str
    data_directory: str
    initdb_options: tuple[str, ...]
    units: tuple[File, ...]
    hardening: Hardening
    directories: tuple[Directory, ...]
    library: tuple[File, ...]
    ssh_gate: File
    ssh_files: tuple[File, ...]
    server_file: str
    files: tuple[File, ...]
    roles: tuple[Role, ...]
    heartbeat: OwnService
    guard: OwnService
    snapshots: OwnService
    grants: tuple[Grant, ...]
    databases: tuple[Database, ...]
    pooler: Pooler | None


def data_directory(version: str) -> str:
    """Where the cluster's data lives."""
    return f"{MOUNT_POINT}/postgresql/{version}/main"


def server_file(version: str) -> str:
    """Where the server's key and certificate are."""
    return f"{_config(version)}/server.pem"


def configuration(facts: PostgresFacts, credentials: PostgresCredentials) -> Configuration:
    """The cluster with its access rules, roles and databases; the heartbeat and the durability
    guard."""
    version = facts.version
    config = _config(version)
    return Configuration(
        mount_point=MOUNT_POINT,
        packages=facts.packages,
        version=version,
        data_directory=data_directory(version),
        initdb_options=INITDB_OPTIONS,
        units=(
            files.drop_in(
                f"postgresql@{version}-main.service",
                "data-disk.conf",
                render.data_disk_unit(MOUNT_POINT),
            ),
        ),
        hardening=files.hardening(render.sshd_hardening_conf(OPERATOR, "postgres")),
        directories=(
            files.ssh_directory("postgres", HOME),
            Directory(SNAPSHOTS, owner="postgres", mode=0o700),
        ),
        library=files.domain(),
        ssh_gate=files.program(render.POSTGRES_SSH_GATE, "postgres-ssh-gate"),
        ssh_files=files.ssh_files(
            user="postgres",
            home=HOME,
            private_key=credentials.private_key,
            known_hosts=render.known_hosts(facts.barman_address, credentials.barman_host_key),
            authorized_keys=render.authorized_key(
                credentials.barman_key, facts.barman_address, command=render.POSTGRES_SSH_GATE
            ),
        ),
        server_file=server_file(version),
        files=(
            File(server_file(version), credentials.server_file, owner="postgres", mode=0o600),
            File(
                f"{config}/conf.d/pulumi.conf",
                render.postgresql_conf(facts.parameters),
                owner="postgres",
                mode=0o640,
            ),
            File(
                f"{config}/pg_hba.conf",
                render.pg_hba_conf(facts.barman_address, facts.client_cidrs, _peers(facts)),
                owner="postgres",
                mode=0o640,
            ),
        ),
        roles=_roles(facts, credentials.passwords),
        heartbeat=OwnService(
            files.unit("heartbeat.service", render.heartbeat_unit(version)),
            (File(render.HEARTBEAT_SQL, render.program_file("heartbeat.sql")),),
        ),
        guard=OwnService(
            files.unit("durability-guard.service", render.durability_guard_unit(config)),
            (
                *files.library("durability_guard"),
                files.program("/usr/local/sbin/durability-guard", "durability-guard"),
                File(
                    "/etc/durability-guard.json",
                    render.durability_guard_json(
                        facts.durability, facts.fallback_after_s, config, files.domain_digest()
                    ),
                ),
            ),
        ),
        snapshots=OwnService(
            files.unit("local-snapshots.service", render.local_snapshots_unit(services.TEXTFILES)),
            (
                *files.library("local_snapshots"),
                files.program(LOCAL_SNAPSHOTS, "local-snapshots"),
                File(
                    "/etc/local-snapshots.json",
                    render.local_snapshots_json(
                        facts.snapshot_every_s, facts.snapshots_kept, files.domain_digest()
                    ),
                ),
            ),
        ),
        grants=_grants(facts),
        databases=(
            Database(SUPERUSER, owner=SUPERUSER, extensions=(_STATISTICS,)),
            *facts.databases,
        ),
        pooler=_pooler(facts, credentials),
    )


def monitoring(facts: PostgresFacts) -> Monitoring:
    """The exporters that Prometheus on Barman's machine asks."""
    units = services.postgres_units(facts.address)
    exporter = services.POOLER_EXPORTER
    if facts.pooler:
        units[exporter] = services.pooler_unit(facts.address)
    return Monitoring(
        packages=(*services.POSTGRES_PACKAGES, *([exporter] if facts.pooler else [])),
        directories=(),
        services={unit: service(unit, text) for unit, text in units.items()},
        own=(),
        unwanted={} if facts.pooler else unwanted(exporter),
    )


def _config(version: str) -> str:
    return f"/etc/postgresql/{version}/main"


def _peers(facts: PostgresFacts) -> dict[str, str]:
    """Who logs in by the socket as the system's user of that name, and into which database."""
    peers = {services.ROLE: SUPERUSER}
    return peers | {pooler.ROLE: pooler.DATABASE} if facts.pooler else peers


def _pooler(facts: PostgresFacts, credentials: PostgresCredentials) -> Pooler | None:
    if facts.pooler is None:
        return None
    return poolers.desired(
        facts.pooler,
        version=facts.version,
        address=facts.address,
        networks=facts.client_cidrs,
        # None of them is an application's.
        rejected=(SUPERUSER, BARMAN_ROLE, STREAMING_ROLE, services.ROLE, pooler.ROLE),
        stats_user=services.ROLE,
        server_file=credentials.server_file,
    )


def _roles(facts: PostgresFacts, passwords: Mapping[str, str]) -> tuple[Role, ...]:
    owners = dict.fromkeys(database.owner for database in facts.databases)
    return (
        Role(BARMAN_ROLE, passwords[BARMAN_ROLE], replication=False, settings=sessions.SETTINGS),
        Role(STREAMING_ROLE, passwords[STREAMING_ROLE], True, sessions.SETTINGS),
        *(Role(owner, passwords[owner], replication=False) for owner in owners),
        # The exporter's, which comes over the local socket as its own system user.
        Role(services.ROLE, password="", replication=False, settings=sessions.SETTINGS),
        *([Role(pooler.ROLE, "", False, sessions.SETTINGS)] if facts.pooler else []),
    )


def _grants(facts: PostgresFacts) -> tuple[Grant, ...]:
    return (
        *(
            Grant(
                held=f"has_function_privilege('{BARMAN_ROLE}', '{function}', 'EXECUTE')",
                statement=f"GRANT EXECUTE ON FUNCTION {function} TO {BARMAN_ROLE}",
            )
            for function in _BARMAN_FUNCTIONS
        ),
        *(_membership(BARMAN_ROLE, role) for role in _BARMAN_ROLES),
        _membership(services.ROLE, "pg_monitor"),
        *(_membership(role, _RESERVED) for role in (BARMAN_ROLE, STREAMING_ROLE, services.ROLE)),
        *([_lookup()] if facts.pooler else []),
    )


def _lookup() -> Grant:
    return Grant(pooler.HELD, pooler.INSTALL, note=f"created function {pooler.LOOKUP}")


def _membership(member: str, role: str) -> Grant:
    return Grant(
        held=f"pg_has_role('{member}', '{role}', 'MEMBER')", statement=f"GRANT {role} TO {member}"
    )
