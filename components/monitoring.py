"""What watches the pair: exporters on both machines, Prometheus and Alertmanager on Barman's."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pulumi
from pulumi_command import remote

from components.barman_server import BARMAN_HOME, SERVER, BarmanServer
from components.machine_files import machine_file
from components.postgres_server import PostgresServer
from components.remote import run_program
from host import render
from host.monitoring import configuration, services
from host.monitoring.configuration import Delivery
from settings.addresses import AddressPlan

DRILLS = "/var/lib/restore-drill/history.jsonl"
VERIFICATIONS = "/var/lib/backup-verify/history.jsonl"
# barman check costs a second of CPU, the rest next to nothing.
_PERIODS_S = {"stream": 5, "catalogue": 60, "histories": 30, "certificate": 3600, "checks": 150}
# Prometheus asks every 15 s; longer than two of its restarts.
_SILENT_AFTER_S = 90


@dataclass(frozen=True)
class MonitoringArgs:
    """`backup_interval` is the longest time between two scheduled backups."""

    postgres: PostgresServer
    barman: BarmanServer
    plan: AddressPlan
    backup_interval: timedelta
    delivery: Delivery


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
            desired=_postgres(str(args.plan.postgres_address)),
            over=args.postgres.machine.connection,
            machines=[args.postgres.machine.vm_id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.postgres.configured]),
        )
        self.on_barman = run_program(
            f"{name}-barman",
            program="monitoring",
            desired=_barman(args),
            over=args.barman.machine.connection,
            machines=[args.barman.machine.vm_id],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[args.barman.configured]),
        )
        self.register_outputs({})


def _postgres(address: str) -> dict[str, Any]:
    return {
        "packages": list(services.POSTGRES_PACKAGES),
        "directories": [],
        "services": {
            unit: _service(unit, drop_in)
            for unit, drop_in in services.postgres_units(address).items()
        },
        "own": [],
    }


def _barman(args: MonitoringArgs) -> dict[str, Any]:
    files = {
        "prometheus": [
            machine_file(services.ALERTS, configuration.alert_rules()),
            machine_file(
                services.PROMETHEUS, configuration.prometheus_yml(str(args.plan.postgres_address))
            ),
        ],
        "prometheus-alertmanager": [
            machine_file(
                services.ALERTMANAGER,
                configuration.alertmanager_yml(args.delivery),
                *("prometheus", 0o600),
            )
        ],
    }
    checks = {
        "prometheus": ["promtool", "check", "config", services.PROMETHEUS],
        "prometheus-alertmanager": ["amtool", "check-config", services.ALERTMANAGER],
    }
    return {
        "packages": list(services.BARMAN_PACKAGES),
        "directories": [
            {"path": services.DIRECTORY, "owner": "root", "mode": 0o755},
            {"path": "/var/lib/prometheus/alertmanager", "owner": "prometheus", "mode": 0o750},
        ],
        "services": {
            unit: _service(unit, drop_in, files.get(unit, ()), checks.get(unit, ()))
            for unit, drop_in in services.barman_units().items()
        },
        "own": [_barman_exporter(args.backup_interval)],
    }


def _service(
    unit: str,
    drop_in: str,
    files: Sequence[Mapping[str, Any]] = (),
    check: Sequence[str] = (),
) -> dict[str, Any]:
    return {
        "drop_in": machine_file(f"/etc/systemd/system/{unit}.service.d/monitoring.conf", drop_in),
        "files": list(files),
        "check": list(check),
    }


def _barman_exporter(backup_interval: timedelta) -> dict[str, Any]:
    told = {
        "server": SERVER,
        "home": BARMAN_HOME,
        "barman_configuration": f"/etc/barman.d/{SERVER}.conf",
        "drills": DRILLS,
        "verifications": VERIFICATIONS,
        "backup_maximum_age_s": (backup_interval + render.BACKUP_AGE_MARGIN).total_seconds(),
        "periods_s": _PERIODS_S,
        "address": "127.0.0.1",
        "port": services.PORTS["barman"],
        "alertmanager": f"127.0.0.1:{services.PORTS['alertmanager']}",
        "silent_after_s": _SILENT_AFTER_S,
    }
    return {
        "unit": machine_file(
            "/etc/systemd/system/barman-exporter.service", render.barman_exporter_unit()
        ),
        "files": [
            *(
                machine_file(f"{services.EXPORTER_LIBRARY}/{name}", text)
                for name, text in services.barman_exporter_sources().items()
            ),
            machine_file(
                "/usr/local/bin/barman-exporter",
                render.program_file("barman-exporter"),
                mode=0o755,
            ),
            machine_file(services.BARMAN_EXPORTER, json.dumps(told, indent=1) + "\n"),
        ],
    }
