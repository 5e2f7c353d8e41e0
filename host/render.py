"""Every configuration file of the two machines, from plain values to text. Pure."""

import json
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib.resources import files
from math import ceil

from jinja2 import Environment, FunctionLoader, StrictUndefined

from host.domain import paths, pooler, processes, sessions
from host.domain.paths import PORT
from host.domain.quoting import conf_value, pgpass_field

Parameter = str | int | float | bool

# Barman is asked to tolerate a late backup, not a missing one: the seed lost backups unnoticed.
BACKUP_AGE_MARGIN = timedelta(hours=2)
# A segment is forced every hour (host/templates/barman-cron.j2).
LAST_WAL_MAXIMUM_AGE = "2 HOURS"
GUARD = "/usr/local/bin/barman-guarded"
BACKUP_ORDER = "/usr/local/bin/barman-backup-order"
REMOVE_BROKEN = "/usr/local/bin/remove-broken-backups"
# Found before the distribution's own (path_prefix in Barman's configuration).
BARMAN_PROGRAMS = "/usr/local/lib/barman"
# Where Barman finds its servers, and where it does for taking backups.
BARMAN_SERVERS = "/etc/barman.d"
BARMAN_BACKUP_SERVERS = "/etc/barman-backup.d"
RECEIVER_WATCH = "/usr/local/bin/barman-receiver-watch"
DRILL_SCRATCH = "/data/restore-drill"
HEARTBEAT_SQL = "/usr/local/share/heartbeat.sql"
SSH_GATE = "/usr/local/bin/barman-ssh-gate"
POSTGRES_SSH_GATE = "/usr/local/bin/postgres-ssh-gate"
# By whose certificate Barman knows PostgreSQL's server.
SERVER_AUTHORITY = "/etc/ssl/postgresql-ca.pem"
BACKUP_VERIFY = "/usr/local/bin/backup-verify"
# Of the pooler: more than twice what an application of 500 processes needs, and how long each of
# them waits before it is told.
POOLER_CLIENTS = 2000
POOLER_WAIT_S = 300
# Where the programs of host/files look for packages of host/, and for host/domain by its own name.
LIBRARIES = "/usr/local/lib"


def postgresql_conf(parameters: Mapping[str, Parameter]) -> str:
    """The conf.d file laid over the distribution's postgresql.conf."""
    return _render("postgresql.conf", port=PORT, parameters=parameters)


def pg_hba_conf(barman_address: str, client_cidrs: Sequence[str], peers: Mapping[str, str]) -> str:
    """Who may connect: Barman's two roles from its own address, everybody else from the clients'
    networks, each with scram-sha-256 and through TLS. `peers` are roles that log in by the socket
    as the system's user of that name, each into one database."""
    return _render("pg_hba.conf", barman=barman_address, clients=client_cidrs, peers=peers)


def pgbouncer_ini(
    *,
    address: str,
    pool_size: int,
    hba_file: str,
    users_file: str,
    server_file: str,
    stats_user: str,
) -> str:
    """PgBouncer's configuration; `pool_size` connections at most to one database."""
    return _render(
        "pgbouncer.ini",
        server=paths.SOCKETS,
        server_port=PORT,
        address=address,
        port=pooler.PORT,
        sockets=pooler.SOCKETS,
        role=pooler.ROLE,
        database=pooler.DATABASE,
        query=pooler.QUERY,
        pool_size=pool_size,
        clients=POOLER_CLIENTS,
        wait_s=POOLER_WAIT_S,
        hba_file=hba_file,
        users_file=users_file,
        server_file=server_file,
        stats_user=stats_user,
    )


def pgbouncer_hba(networks: Sequence[str], rejected: Sequence[str], stats_user: str) -> str:
    """Who may connect to PgBouncer: everybody but the roles `rejected` and its console's from
    `networks`, with scram-sha-256 and through TLS; `stats_user` to its console by the socket."""
    return _render(
        "pgbouncer-hba.conf", networks=networks, rejected=rejected, stats_user=stats_user
    )


def pgbouncer_unit(version: str, ini: str) -> str:
    """PgBouncer's service, with its configuration in the file `ini`."""
    return _render(
        "pgbouncer.service",
        version=version,
        ini=ini,
        user=pooler.USER,
        reload=("/usr/bin/env", *pooler.console("RELOAD")),
        # One of each client's, one of each server's connection, and its own.
        open_files=2 * POOLER_CLIENTS,
    )


def data_disk_unit(mount_point: str) -> str:
    """systemd drop-in that ties PostgreSQL to its disk."""
    return _render("data-disk.conf", mount_point=mount_point)


def barman_conf(home: str) -> str:
    """Barman's global configuration."""
    return _render("barman.conf", home=home, servers=BARMAN_SERVERS)


def barman_backup_conf(home: str) -> str:
    """The one by which Barman takes backups (paths.BARMAN_BACKUP_CONF)."""
    return _render("barman-backup.conf", home=home, servers=BARMAN_BACKUP_SERVERS)


def barman_server_conf(
    *,
    server: str,
    description: str,
    address: str,
    slot: str,
    compression: str,
    retention: str,
    backup_interval: timedelta,
    packed: bool = False,
) -> str:
    """Barman's configuration of one server; `backup_interval` is the longest time between two
    scheduled backups. With `packed`, for taking packed backups."""
    hours = ceil((backup_interval + BACKUP_AGE_MARGIN) / timedelta(hours=1))
    return _render(
        "barman-server.conf",
        server=server,
        description=description,
        address=address,
        port=PORT,
        slot=slot,
        authority=SERVER_AUTHORITY,
        programs=BARMAN_PROGRAMS,
        compression=compression,
        retention=retention,
        last_backup_maximum_age=f"{hours} HOURS",
        last_wal_maximum_age=LAST_WAL_MAXIMUM_AGE,
        packed=packed,
    )


def receiver_watch_unit(address: str) -> str:
    """The service that starts Barman's receiver again, PostgreSQL being at `address`."""
    return _render(
        "barman-receiver-watch.service",
        program=RECEIVER_WATCH,
        address=address,
        receiver=processes.RECEIVER,
    )


def backup_verify_unit(home: str, server: str) -> str:
    """The service that verifies `server`'s backups once."""
    return _render(
        "backup-verify.service",
        program=BACKUP_VERIFY,
        home=home,
        server=server,
        state=paths.VERIFICATION_STATE,
    )


def backup_verify_timer() -> str:
    """What starts that service."""
    return _render("backup-verify.timer")


def durability_guard_unit(config: str) -> str:
    """The guard's service; `config` is the cluster's configuration directory."""
    return _render("durability-guard.service", conf_d=f"{config}/conf.d")


def durability_guard_json(level: str, fallback_after_s: int, config: str, library: str) -> str:
    """The guard's configuration, from durability and fallbackAfterSeconds; `library` is the digest
    of host/domain."""
    document = {
        "level": level,
        "fallback_after_s": fallback_after_s,
        "socket": f"/var/run/postgresql/.s.PGSQL.{PORT}",
        # Before zz-recovery.conf, by which a recovery overrules it.
        "file": f"{config}/conf.d/durability.conf",
        "recovery_marker": paths.RECOVERY_MARKER,
        "library": library,
    }
    return json.dumps(document, indent=1) + "\n"


def local_snapshots_unit(textfiles: str) -> str:
    """The service that takes local snapshots which are due, and removes those that have to go; it
    reports in the folder `textfiles`."""
    return _render(
        "local-snapshots.service",
        program=paths.LOCAL_SNAPSHOTS,
        snapshots=paths.SNAPSHOTS,
        textfiles=textfiles,
    )


def local_snapshots_json(every_s: int | None, kept: int, library: str) -> str:
    """Its configuration, from snapshotEveryHours and snapshotsKept; `library` is the digest of
    host/domain."""
    return json.dumps({"every_s": every_s, "kept": kept, "library": library}, indent=1) + "\n"


def heartbeat_unit(version: str) -> str:
    """The service that writes the marker for restore drills on PostgreSQL's machine."""
    return _render(
        "heartbeat.service", version=version, sql=HEARTBEAT_SQL, session=sessions.OPTIONS
    )


def restore_drill_json(server: str, home: str, version: str, queries: Mapping[str, str]) -> str:
    """The drill's configuration; `queries` by database, each of which shall say `t`."""
    document = {
        "server": server,
        "home": home,
        "version": version,
        "scratch": DRILL_SCRATCH,
        "queries": dict(queries),
    }
    return json.dumps(document, indent=1) + "\n"


def restore_drill_units(schedule: str, calendar: str) -> dict[str, str]:
    """The drill's systemd units by name; `calendar` is cron's `schedule` in systemd's words."""
    return {
        "restore-drill.service": _render("restore-drill.service"),
        "restore-drill-clean.service": _render("restore-drill-clean.service"),
        "restore-drill.timer": _render("restore-drill.timer", schedule=schedule, calendar=calendar),
    }


def library_sources(package: str) -> dict[str, str]:
    """The modules of a package of host/ that is installed whole on a machine, by file name."""
    folder = files("host").joinpath(package)
    names = sorted(item.name for item in folder.iterdir() if item.name.endswith(".py"))
    return {name: folder.joinpath(name).read_text() for name in names}


def own_name_sources(package: str) -> dict[str, str]:
    """The modules of a package of host/ that is imported by that name, by their paths below
    LIBRARIES; host/__init__.py is one of host/domain's, which each machine has."""
    modules = {f"host/{package}/{name}": t for name, t in library_sources(package).items()}
    if package != "domain":
        return modules
    return {"host/__init__.py": files("host").joinpath("__init__.py").read_text()} | modules


def monitoring_drop_in(*, needs: str, command: Sequence[str], environment: str, user: str) -> str:
    """systemd drop-in that starts one of Debian's monitoring services as `command`, once the file
    `needs` is there; as `user`, or as the user that Debian has for it where that is empty."""
    return _render(
        "monitoring.conf", needs=needs, command=command, environment=environment, user=user
    )


def barman_exporter_unit() -> str:
    """The Barman exporter's service."""
    return _render("barman-exporter.service")


def barman_cron(server: str, schedule: str) -> str:
    """/etc/cron.d/barman: maintenance every minute, the backup on its schedule."""
    return _render("barman-cron", guard=GUARD, server=server, schedule=schedule)


def pgpass(address: str, passwords: Mapping[str, str]) -> str:
    """~barman/.pgpass for role -> password. Secret."""
    return "".join(
        f"{address}:{PORT}:*:{pgpass_field(role)}:{pgpass_field(password)}\n"
        for role, password in sorted(passwords.items())
    )


def known_hosts(address: str, host_key: str) -> str:
    """One pinned host key, given as an authorized_keys line."""
    return f"{address} {host_key}\n"


def authorized_key(public_key: str, source: str, command: str) -> str:
    """An authorized_keys line good for nothing but `command` from `source`."""
    return f'from="{source}",restrict,command="{command}" {public_key}\n'


def sshd_hardening_conf(operator: str, service_user: str, open_to: Sequence[str] = ()) -> str:
    """sshd drop-in: two users, by key alone, forwarding nothing, but the operator to the addresses
    and ports (address:port) of `open_to`."""
    users = [operator, service_user]
    return _render("sshd-hardening.conf", operator=operator, users=users, open_to=open_to)


def program_file(name: str) -> str:
    """The text of a program that lives on a machine (host/files)."""
    return files("host").joinpath("files", name).read_text()


def _literal(value: Parameter) -> str:
    """A value as postgresql.conf wants it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return str(value)
    return conf_value(value)


def _source(name: str) -> str:
    return files("host").joinpath("templates", f"{name}.j2").read_text()


_environment = Environment(
    loader=FunctionLoader(_source),
    undefined=StrictUndefined,
    keep_trailing_newline=True,
    # Nothing rendered here is HTML.
    autoescape=False,  # noqa: S701
)
_environment.filters["literal"] = _literal


def _render(name: str, **values: object) -> str:
    return _environment.get_template(name).render(**values)
