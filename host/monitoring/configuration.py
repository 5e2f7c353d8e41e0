"""Prometheus', Alertmanager's and the Barman exporter's files, from plain values to text. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Any

import yaml

from host import render
from host.domain import paths
from host.monitoring.services import ALERTS, PORTS

SCRAPE_S = 15
# barman check costs a second of CPU, the rest next to nothing.
_PERIODS_S = {"stream": 5, "catalogue": 60, "histories": 30, "certificate": 300, "checks": 150}
# Prometheus asks every SCRAPE_S; longer than two of its restarts.
_SILENT_AFTER_S = 90


@dataclass(frozen=True)
class Smtp:
    """A mail server. Without `user`, a relay that knows this machine by its address: mail to it
    goes unencrypted. `password` is secret."""

    host: str
    port: int
    sender: str
    user: str
    password: str


@dataclass(frozen=True)
class Delivery:
    """Who is notified: an address with its mail server, a webhook, and the dead-man's switch, a URL
    that expects a POST every minute. Each may be missing. The URLs are secret: they hold keys."""

    email: str = ""
    smtp: Smtp | None = None
    webhook: str = ""
    dead_man: str = ""


def alert_rules() -> str:
    """The alert rules, constant."""
    return files("host").joinpath("monitoring", "alerts.yml").read_text()


def prometheus_yml(postgres_address: str, *, pooler: bool) -> str:
    """Whom Prometheus asks, the pooler's exporter among them where there is a `pooler`, and which
    alerts it evaluates."""
    here = "127.0.0.1"
    targets = [
        ("node", "barman", here),
        ("barman", "barman", here),
        ("prometheus", "barman", here),
        ("alertmanager", "barman", here),
        ("node", "postgres", postgres_address),
        ("postgres", "postgres", postgres_address),
        *([("pgbouncer", "postgres", postgres_address)] if pooler else []),
    ]
    jobs: dict[str, list[dict[str, Any]]] = {}
    for job, machine, address in targets:
        jobs.setdefault(job, []).append(
            {"targets": [f"{address}:{PORTS[job]}"], "labels": {"machine": machine}}
        )
    return _yaml(
        {
            "global": {
                "scrape_interval": f"{SCRAPE_S}s",
                "scrape_timeout": "10s",
                "evaluation_interval": f"{SCRAPE_S}s",
            },
            "rule_files": [ALERTS],
            "alerting": {
                "alertmanagers": [
                    {"static_configs": [{"targets": [f"{here}:{PORTS['alertmanager']}"]}]}
                ]
            },
            "scrape_configs": [
                {"job_name": job, "static_configs": configs} for job, configs in jobs.items()
            ],
        }
    )


# For a telephone at night: what, since when, which page.
_TEXT = """\
{{ range .Alerts }}{{ .Status }}: {{ .Annotations.summary }}
  {{ .Labels.alertname }}, {{ .Labels.severity }}
  since {{ .StartsAt.UTC.Format "2006-01-02 15:04 MST" }}
  open {{ .Annotations.runbook }}

{{ end }}"""
_SUBJECT = (
    "[{{ .Status }}] {{ range $i, $a := .Alerts }}{{ if $i }}; {{ end }}"
    "{{ $a.Annotations.summary }}{{ end }}"
)


def alertmanager_yml(delivery: Delivery) -> str:
    """Where alerts go. Secret."""
    operators: dict[str, Any] = {"name": "operators"}
    if delivery.email and delivery.smtp:
        operators["email_configs"] = [_email(delivery.email, delivery.smtp)]
    if delivery.webhook:
        operators["webhook_configs"] = [{"url": delivery.webhook, "send_resolved": True}]
    dead_man: dict[str, Any] = {"name": "dead-man"}
    if delivery.dead_man:
        dead_man["webhook_configs"] = [{"url": delivery.dead_man, "send_resolved": False}]
    return _yaml(
        {
            "route": {
                "receiver": "operators",
                "group_by": ["alertname", "machine"],
                "group_wait": "10s",
                "group_interval": "1m",
                "repeat_interval": "4h",
                "routes": [
                    {
                        "matchers": ['alertname="Heartbeat"'],
                        "receiver": "dead-man",
                        "group_wait": "0s",
                        "group_interval": "1m",
                        # Just below the interval, so that no minute is left out.
                        "repeat_interval": "50s",
                    }
                ],
            },
            "inhibit_rules": [
                _inhibit(
                    "MachineDown", "ExporterDown|PostgresDown|GuardSilent|SlotMissing|PoolerDown"
                ),
                # The distribution's unit of its exporter ends with it.
                _inhibit("PoolerDown", "ExporterDown", "job"),
                _inhibit("DiskFull", "DiskAlmostFull|DiskFullSoon", "mountpoint"),
            ],
            "receivers": [operators, dead_man],
        }
    )


def barman_exporter_json(
    server: str, home: str, configuration: str, backup_interval: timedelta, library: str
) -> str:
    """The Barman exporter's configuration: `server`, whose backups are below `home`, its
    `configuration` file, the longest time between two scheduled backups, and the digest of
    host/domain."""
    document = {
        "server": server,
        "home": home,
        "barman_configuration": configuration,
        "drills": paths.DRILL_HISTORY,
        "verifications": paths.VERIFICATION_HISTORY,
        "backup_maximum_age_s": (backup_interval + render.BACKUP_AGE_MARGIN).total_seconds(),
        "periods_s": _PERIODS_S,
        "address": "127.0.0.1",
        "port": PORTS["barman"],
        "alertmanager": f"127.0.0.1:{PORTS['alertmanager']}",
        "silent_after_s": _SILENT_AFTER_S,
        "library": library,
    }
    return json.dumps(document, indent=1) + "\n"


def _email(address: str, smtp: Smtp) -> dict[str, Any]:
    login: Mapping[str, Any] = (
        {"auth_username": smtp.user, "auth_password": smtp.password} if smtp.user else {}
    )
    return {
        "to": address,
        "from": smtp.sender,
        "smarthost": f"{smtp.host}:{smtp.port}",
        "require_tls": bool(smtp.user),
        **login,
        "send_resolved": True,
        "headers": {"Subject": _SUBJECT},
        "html": "",
        "text": _TEXT,
    }


def _inhibit(source: str, targets: str, *more: str) -> dict[str, Any]:
    return {
        "source_matchers": [f'alertname="{source}"'],
        "target_matchers": [f'alertname=~"{targets}"'],
        "equal": ["machine", *more],
    }


def _yaml(document: Mapping[str, Any]) -> str:
    text = yaml.safe_dump(document, sort_keys=False, width=100)
    return f"# Written by pulumi up; change the stack's configuration instead.\n{text}"
