"""The services that watch: how Debian's units are started here, on which addresses. Pure.

Debian's own units listen on every address. Drop-ins of ours come before the packages: a service
whose configuration is not there yet does not start at all.
"""

from host import render
from host.domain import pooler

DIRECTORY = "/etc/monitoring"
PROMETHEUS = f"{DIRECTORY}/prometheus.yml"
ALERTS = f"{DIRECTORY}/alerts.yml"
ALERTMANAGER = f"{DIRECTORY}/alertmanager.yml"
BARMAN_EXPORTER = f"{DIRECTORY}/barman-exporter.json"
# Written by the durability guard (host/durability_guard).
TEXTFILES = "/run/durability-guard"
PORTS = {
    "prometheus": 9090,
    "alertmanager": 9093,
    "node": 9100,
    "pgbouncer": 9127,
    "postgres": 9187,
    "barman": 9780,
}
# The role of PostgreSQL that Debian's exporter logs in as: its system user's, so peer suffices.
ROLE = "prometheus"
POOLER_EXPORTER = "prometheus-pgbouncer-exporter"

BARMAN_PACKAGES = (
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-node-exporter",
    "python3-prometheus-client",
    "python3-psycopg2",
)
POSTGRES_PACKAGES = ("prometheus-node-exporter", "prometheus-postgres-exporter")
_COLLECTORS = (
    "cpu",
    "diskstats",
    "filesystem",
    "loadavg",
    "meminfo",
    "netdev",
    "pressure",
    "time",
    "uname",
    "vmstat",
)


def operators_addresses() -> tuple[str, ...]:
    """Where on the Barman machine an operator's browser finds Prometheus and Alertmanager."""
    return tuple(f"127.0.0.1:{PORTS[name]}" for name in ("prometheus", "alertmanager"))


def barman_units() -> dict[str, str]:
    """Debian's units on the Barman machine -> drop-in."""
    return {
        "prometheus": _drop_in(
            PROMETHEUS,
            "/usr/bin/prometheus",
            f"--config.file={PROMETHEUS}",
            "--storage.tsdb.path=/var/lib/prometheus/metrics2",
            "--storage.tsdb.retention.time=60d",
            "--storage.tsdb.retention.size=2GB",
            # An alert that is not repeated ends after four times this: so the heartbeat stops a
            # minute after Prometheus, not after four.
            "--rules.alert.resend-delay=15s",
            f"--web.listen-address=127.0.0.1:{PORTS['prometheus']}",
        ),
        "prometheus-alertmanager": _drop_in(
            ALERTMANAGER,
            "/usr/bin/prometheus-alertmanager",
            f"--config.file={ALERTMANAGER}",
            "--storage.path=/var/lib/prometheus/alertmanager",
            f"--web.listen-address=127.0.0.1:{PORTS['alertmanager']}",
            # One Alertmanager: nobody to gossip with.
            "--cluster.listen-address=",
        ),
        "prometheus-node-exporter": _node("127.0.0.1"),
    }


def postgres_units(address: str) -> dict[str, str]:
    """Debian's units on the PostgreSQL machine, at its private `address` -> drop-in."""
    return {
        "prometheus-node-exporter": _node(
            address, "--collector.textfile", f"--collector.textfile.directory={TEXTFILES}"
        ),
        "prometheus-postgres-exporter": _drop_in(
            "/usr/bin/prometheus-postgres-exporter",
            "/usr/bin/prometheus-postgres-exporter",
            f"--web.listen-address={address}:{PORTS['postgres']}",
            # Per-table statistics are not what backups hang on.
            "--no-collector.stat_user_tables",
            "--no-collector.statio_user_tables",
            environment=f"DATA_SOURCE_NAME=user={ROLE} host=/var/run/postgresql dbname=postgres",
        ),
    }


def pooler_unit(address: str) -> str:
    """The drop-in of the exporter of PgBouncer's figures at that `address`."""
    console = f"host={pooler.SOCKETS} port={pooler.PORT} user={ROLE} dbname=pgbouncer"
    return _drop_in(
        f"/usr/bin/{POOLER_EXPORTER}",
        f"/usr/bin/{POOLER_EXPORTER}",
        f"--web.listen-address={address}:{PORTS['pgbouncer']}",
        f'"--pgBouncer.connectionString={console} sslmode=disable"',
        # What that file is for, systemd knows.
        "--pgBouncer.pid-file=",
        # Debian's is PostgreSQL's superuser.
        user=ROLE,
    )


def _node(address: str, *more: str) -> str:
    return _drop_in(
        "/usr/bin/prometheus-node-exporter",
        "/usr/bin/prometheus-node-exporter",
        "--collector.disable-defaults",
        *(f"--collector.{name}" for name in _COLLECTORS),
        *more,
        f"--web.listen-address={address}:{PORTS['node']}",
    )


def _drop_in(needs: str, *command: str, environment: str = "", user: str = "") -> str:
    return render.monitoring_drop_in(
        needs=needs, command=command, environment=environment, user=user
    )
