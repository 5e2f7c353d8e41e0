"""`ops alerts`: what fires now, by Alertmanager on the Barman machine, and which page to open."""

import json
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach.ssh import CommandFailed, Site
from ops.screen import moment, span

HEARTBEAT = "Heartbeat"
# Python is there wherever Barman is. Alertmanager listens on that machine's loopback alone.
_ASK = """
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", 9093, timeout=10)
said = {}
for what in ("alerts", "status"):
    connection.request("GET", f"/api/v2/{what}")
    answer = connection.getresponse()
    said[what] = json.loads(answer.read())
    if answer.status != 200:
        sys.exit(f"{answer.status}: {said[what]}")
print(json.dumps(said))
"""
UNDELIVERED = "AlertsNotDelivered"
# Prometheus tells Alertmanager of an alert that lasts once a minute.
FIRST_HEARTBEAT_S = 180


class Severity(StrEnum):
    """How urgent an alert is; also the command's exit code: 1 for warnings alone, else 2."""

    WARNING = "warning"
    CRITICAL = "critical"


class Alert(BaseModel):
    """One alert that fires."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    severity: Severity
    machine: str | None
    """postgres or barman, where it is about one of the machines."""
    summary: str
    """A sentence."""
    runbook: str
    """The page to open, a path in this project."""
    since: datetime
    silenced: bool
    """Whether somebody has silenced it, or a more severe alert says the same."""


class Alerts(BaseModel):
    """What fires now."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    at: datetime
    alerts: list[Alert]
    """Critical ones first, then the longest-standing."""
    heartbeat: bool
    """Whether the alert that always fires does; if not, nothing else can be relied on."""
    undeliverable: str | None = None
    """Why alerts cannot be delivered; null when nothing speaks against it."""

    @property
    def exit_code(self) -> int:
        """0: nothing fires. 1: warnings. 2: critical, or the heartbeat is missing."""
        audible = [alert for alert in self.alerts if not alert.silenced]
        if not self.heartbeat or any(alert.severity is Severity.CRITICAL for alert in audible):
            return 2
        return 1 if audible else 0


def read(site: Site) -> Alerts:
    """Ask Alertmanager. Raises OperatorError if it does not answer."""
    barman = site.barman
    try:
        answer = barman.run(["python3", "-I", "-"], stdin=_ASK, timeout_s=30)
    except CommandFailed as error:
        last_line = error.result.said.rpartition("\n")[2]
        raise OperatorError(
            f"Alertmanager on {barman.name} does not answer: {last_line}",
            state=f"No alert can be delivered either. {NOTHING_CHANGED}",
            next_command="sudo systemctl restart prometheus-alertmanager   (on that machine; "
            "docs/runbooks/monitoring-is-silent.md)",
        ) from None
    return parse(answer.stdout, datetime.now(UTC))


def parse(answer: str, now: datetime) -> Alerts:
    """From the JSON of Alertmanager's /api/v2/alerts and /api/v2/status, by these names."""
    said = json.loads(answer)
    raw: list[dict[str, Any]] = said["alerts"]
    names = [item["labels"]["alertname"] for item in raw]
    found = [_alert(item) for item in raw if item["labels"]["alertname"] != HEARTBEAT]
    found.sort(key=lambda alert: (alert.severity is not Severity.CRITICAL, alert.since))
    heartbeat = HEARTBEAT in names
    undelivered = next((alert.summary for alert in found if alert.name == UNDELIVERED), None)
    started = datetime.fromisoformat(said["status"]["uptime"])
    if not heartbeat and (now - started).total_seconds() > FIRST_HEARTBEAT_S:
        undelivered = "Prometheus sends nothing to Alertmanager"
    return Alerts(at=now, alerts=found, heartbeat=heartbeat, undeliverable=undelivered)


def _alert(item: dict[str, Any]) -> Alert:
    labels, notes = item["labels"], item["annotations"]
    critical = labels.get("severity") == Severity.CRITICAL
    return Alert(
        name=labels["alertname"],
        severity=Severity.CRITICAL if critical else Severity.WARNING,
        machine=labels.get("machine"),
        summary=notes.get("summary", ""),
        runbook=notes.get("runbook", ""),
        since=datetime.fromisoformat(item["startsAt"]),
        silenced=item["status"]["state"] == "suppressed",
    )


def show(found: Alerts, console: Console) -> None:
    """For people."""
    if not found.heartbeat:
        console.print(
            "The heartbeat is missing: Prometheus sends nothing to Alertmanager. "
            "Open docs/runbooks/monitoring-is-silent.md",
            style="red",
        )
    if not found.alerts:
        console.print("No alert fires.")
        return
    table = Table("since", "for", "severity", "alert", "open", show_lines=True)
    for alert in found.alerts:
        table.add_row(
            moment(alert.since),
            span((found.at - alert.since).total_seconds()),
            f"{alert.severity}{', silenced' if alert.silenced else ''}",
            f"{alert.name}: {alert.summary}",
            alert.runbook,
            style="red" if alert.severity is Severity.CRITICAL else "yellow",
        )
    console.print(table)
