"""What `ops alerts` makes of Alertmanager's answer."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from ops.watch import alerts

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def raw(name: str, severity: str = "critical", state: str = "active", hour: int = 11) -> Any:
    return {
        "labels": {"alertname": name, "severity": severity, "machine": "barman"},
        "annotations": {"summary": f"{name} it is.", "runbook": "docs/runbooks/is-it-safe.md"},
        "startsAt": f"2026-05-01T{hour:02}:00:00.000Z",
        "status": {"state": state, "silencedBy": [], "inhibitedBy": []},
    }


HEARTBEAT = raw("Heartbeat", "none")


def parse(*items: Any, up_s: float = 3600) -> alerts.Alerts:
    started = (NOW - timedelta(seconds=up_s)).isoformat()
    return alerts.parse(json.dumps({"alerts": items, "status": {"uptime": started}}), NOW)


@pytest.mark.parametrize(
    ("items", "code"),
    [
        ([HEARTBEAT], 0),
        ([HEARTBEAT, raw("DiskAlmostFull", "warning")], 1),
        ([HEARTBEAT, raw("DiskFull"), raw("DiskAlmostFull", "warning")], 2),
        ([HEARTBEAT, raw("DiskFull", state="suppressed")], 0),
        # Quiet because nothing is evaluated any more.
        ([], 2),
    ],
)
def test_exit_codes(items: list[Any], code: int) -> None:
    assert parse(*items).exit_code == code


def test_the_gravest_and_longest_standing_come_first() -> None:
    found = parse(
        raw("Late", hour=11), raw("Warning", "warning", hour=1), raw("Early", hour=2), HEARTBEAT
    )
    assert [alert.name for alert in found.alerts] == ["Early", "Late", "Warning"]


def test_the_screen_names_alert_and_page() -> None:
    console = Console(width=160, record=True)
    alerts.show(parse(HEARTBEAT, raw("DiskFull", hour=9)), console)
    text = console.export_text()
    assert "DiskFull it is." in text
    assert "docs/runbooks/is-it-safe.md" in text
    assert "3 h 0 min" in text


def test_a_missing_heartbeat_is_told() -> None:
    console = Console(width=160, record=True)
    alerts.show(parse(), console)
    assert "heartbeat is missing" in console.export_text()


@pytest.mark.parametrize(
    ("items", "up_s", "why"),
    [
        ([HEARTBEAT], 3600, None),
        ([HEARTBEAT, raw("DiskFull")], 3600, None),
        ([], 3600, "Prometheus sends nothing to Alertmanager"),
        # It has just been started, and nobody has had the time to tell it anything.
        ([], 20, None),
        ([HEARTBEAT, raw("AlertsNotDelivered", "warning")], 3600, "AlertsNotDelivered it is."),
    ],
)
def test_why_alerts_cannot_be_delivered(items: list[Any], up_s: float, why: str | None) -> None:
    assert parse(*items, up_s=up_s).undeliverable == why
