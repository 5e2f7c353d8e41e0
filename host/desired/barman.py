"""What Barman's machine consists of. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from host import render
from host.desired import files
from host.desired.files import Desired, Directory, File, Hardening, OwnService
from host.desired.monitoring import Monitoring, service
from host.desired.names import OPERATOR, SERVER, SLOT
from host.domain import paths
from host.domain.paths import BARMAN_HOME, MOUNT_POINT
from host.monitoring import configuration as watching
from host.monitoring import services
from host.monitoring.configuration import Delivery

HOME = "/var/lib/barman"
SERVER_CONFIGURATION = f"{render.BARMAN_SERVERS}/{SERVER}.conf"


@dataclass(frozen=True)
class BarmanFacts:
    """What is known of the machine before it exists. `version` is PostgreSQL's major version,
    `packages` are the distribution's, `postgres_address` is a private one. `compression` and
    `retention` are Barman's settings. Schedules are cron expressions in UTC, `drill_calendar` is
    the drill's in systemd's words; `backup_interval` is the longest time between two scheduled
    backups. `drill_queries` are by database. `durability` is the level to be proven. `delivery` is
    secret. `pooler`: whether PostgreSQL's machine has one."""

    version: str
    packages: tuple[str, ...]
    postgres_address: str
    compression: str
    retention: str
    backup_schedule: str
    backup_interval: timedelta
    drill_schedule: str
    drill_calendar: str
    drill_queries: Mapping[str, str]
    durability: str
    delivery: Delivery = field(repr=False)
    pooler: bool = False


@dataclass(frozen=True)
class BarmanCredentials:
    """Keys, passwords and who vouches for the server. `private_key` (secret) reaches PostgreSQL's
    machine, whose host key is `postgres_host_key`; `postgres_key` is let in; both are
    authorized_keys lines. `passwords` (secret) are those of Barman's two roles. `authority` is a
    certificate, PEM."""

    private_key: str = field(repr=False)
    postgres_host_key: str
    postgres_key: str
    passwords: Mapping[str, str] = field(repr=False)
    authority: str


@dataclass(frozen=True)
class Configuration(Desired):
    """For host/programs/barman.py."""

    mount_point: str
    packages: tuple[str, ...]
    server: str
    hardening: Hardening
    directories: tuple[Directory, ...]
    services: tuple[OwnService, ...]
    files: tuple[File, ...]


@dataclass(frozen=True)
class StreamingBackup(Desired):
    """For host/programs/streaming_backup.py."""

    server: str
    slot: str
    durability: str
    cron: File


def configuration(facts: BarmanFacts, credentials: BarmanCredentials) -> Configuration:
    """Barman's configuration and credentials, the way through to PostgreSQL's machine; what watches
    the receiver, verifies backups and drills restores."""
    postgres = facts.postgres_address
    drill_units = {
        name: files.unit(name, text)
        for name, text in render.restore_drill_units(
            facts.drill_schedule, facts.drill_calendar
        ).items()
    }
    return Configuration(
        mount_point=MOUNT_POINT,
        packages=facts.packages,
        server=SERVER,
        hardening=files.hardening(
            render.sshd_hardening_conf(
                OPERATOR, "barman", open_to=(f"{postgres}:22", *services.operators_addresses())
            )
        ),
        directories=(
            Directory(BARMAN_HOME, owner="barman", mode=0o700),
            files.ssh_directory("barman", HOME),
            Directory(render.DRILL_SCRATCH, owner="barman", mode=0o700),
            Directory(paths.VERIFICATION_STATE, owner="barman"),
        ),
        services=(
            OwnService(files.unit("backup-verify.timer", render.backup_verify_timer())),
            OwnService(drill_units["restore-drill-clean.service"]),
            OwnService(drill_units["restore-drill.timer"]),
            OwnService(
                files.unit("barman-receiver-watch.service", render.receiver_watch_unit(postgres)),
                (files.program(render.RECEIVER_WATCH, "barman-receiver-watch"),),
            ),
        ),
        files=(
            *files.ssh_files(
                user="barman",
                home=HOME,
                private_key=credentials.private_key,
                known_hosts=render.known_hosts(postgres, credentials.postgres_host_key),
                authorized_keys=render.authorized_key(
                    credentials.postgres_key, postgres, command=f"{render.SSH_GATE} {SERVER}"
                ),
            ),
            File(
                f"{HOME}/.pgpass",
                render.pgpass(postgres, credentials.passwords),
                owner="barman",
                mode=0o600,
            ),
            File(render.SERVER_AUTHORITY, credentials.authority),
            File("/etc/barman.conf", render.barman_conf(BARMAN_HOME)),
            File(SERVER_CONFIGURATION, _server_conf(facts)),
            File(paths.BARMAN_BACKUP_CONF, render.barman_backup_conf(BARMAN_HOME)),
            File(f"{render.BARMAN_BACKUP_SERVERS}/{SERVER}.conf", _server_conf(facts, packed=True)),
            files.program(render.GUARD, "barman-guarded"),
            files.program(render.BACKUP_ORDER, "barman-backup-order"),
            files.program(render.REMOVE_BROKEN, "remove-broken-backups"),
            files.program(f"{render.BARMAN_PROGRAMS}/pg_receivewal", "pg_receivewal"),
            files.program(f"{render.BARMAN_PROGRAMS}/pg_basebackup", "pg_basebackup"),
            *files.domain(),
            *files.library("backup_verify"),
            files.program(render.BACKUP_VERIFY, "backup-verify"),
            files.unit("backup-verify.service", render.backup_verify_unit(BARMAN_HOME, SERVER)),
            files.program(paths.BARMAN_GET_WAL, "barman-get-wal"),
            files.program(paths.BARMAN_SEND_WAL, "barman-send-wal"),
            files.program(paths.BARMAN_SEND_BACKUP, "barman-send-backup"),
            files.program(render.SSH_GATE, "barman-ssh-gate"),
            *files.restored_copy(),
            *files.library("restore_drill"),
            files.program("/usr/local/sbin/restore-drill", "restore-drill"),
            File(
                "/etc/restore-drill.json",
                render.restore_drill_json(SERVER, BARMAN_HOME, facts.version, facts.drill_queries),
            ),
            drill_units["restore-drill.service"],
        ),
    )


def _server_conf(facts: BarmanFacts, *, packed: bool = False) -> str:
    return render.barman_server_conf(
        server=SERVER,
        description=f"PostgreSQL on {facts.postgres_address}",
        address=facts.postgres_address,
        slot=SLOT,
        compression=facts.compression,
        retention=facts.retention,
        backup_interval=facts.backup_interval,
        packed=packed,
    )


def streaming_backup(facts: BarmanFacts) -> StreamingBackup:
    """The joint between the two machines, and the schedule of Barman's maintenance and backups."""
    return StreamingBackup(
        server=SERVER,
        slot=SLOT,
        durability=facts.durability,
        cron=File(paths.BARMAN_CRON, render.barman_cron(SERVER, facts.backup_schedule)),
    )


def monitoring(facts: BarmanFacts) -> Monitoring:
    """Prometheus and Alertmanager, which watch both machines, and this machine's exporters."""
    drop_ins = services.barman_units()
    return Monitoring(
        packages=services.BARMAN_PACKAGES,
        directories=(
            Directory(services.DIRECTORY),
            Directory("/var/lib/prometheus/alertmanager", owner="prometheus", mode=0o750),
        ),
        services={
            "prometheus": service(
                "prometheus",
                drop_ins["prometheus"],
                files=(
                    File(services.ALERTS, watching.alert_rules()),
                    File(
                        services.PROMETHEUS,
                        watching.prometheus_yml(facts.postgres_address, pooler=facts.pooler),
                    ),
                ),
                check=("promtool", "check", "config", services.PROMETHEUS),
            ),
            "prometheus-alertmanager": service(
                "prometheus-alertmanager",
                drop_ins["prometheus-alertmanager"],
                files=(
                    File(
                        services.ALERTMANAGER,
                        watching.alertmanager_yml(facts.delivery),
                        owner="prometheus",
                        mode=0o600,
                    ),
                ),
                check=("amtool", "check-config", services.ALERTMANAGER),
            ),
            "prometheus-node-exporter": service(
                "prometheus-node-exporter", drop_ins["prometheus-node-exporter"]
            ),
        },
        own=(
            OwnService(
                unit=files.unit("barman-exporter.service", render.barman_exporter_unit()),
                files=(
                    *files.library("barman_exporter"),
                    files.program("/usr/local/bin/barman-exporter", "barman-exporter"),
                    File(
                        services.BARMAN_EXPORTER,
                        watching.barman_exporter_json(
                            SERVER,
                            BARMAN_HOME,
                            SERVER_CONFIGURATION,
                            facts.backup_interval,
                            files.domain_digest(),
                        ),
                    ),
                ),
            ),
        ),
    )
