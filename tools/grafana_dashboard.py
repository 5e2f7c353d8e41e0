"""Writes docs/grafana-dashboard.json: the report's facts over time, for those who have Grafana."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parents[1] / "docs" / "grafana-dashboard.json"
COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${source}"}
# Grafana's value of a threshold's first step: from minus infinity on.
FROM_THE_START = None


@dataclass(frozen=True)
class Panel:
    """One picture. `queries` are (PromQL, legend); `steps` are (from, colour) of its thresholds."""

    title: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 6
    height: int = 6
    description: str = ""
    steps: tuple[tuple[float | None, str], ...] = ((FROM_THE_START, "green"),)
    words: dict[str, str] = field(default_factory=dict)


def _red_from(limit: float) -> tuple[tuple[float | None, str], ...]:
    return ((FROM_THE_START, "green"), (limit, "red"))


def _green_from(limit: float) -> tuple[tuple[float | None, str], ...]:
    return ((FROM_THE_START, "red"), (limit, "green"))


_YES_NO = {"0": "no", "1": "yes"}
_USED = (
    '1 - node_filesystem_avail_bytes{mountpoint="/data"} '
    '/ node_filesystem_size_bytes{mountpoint="/data"}'
)

ROWS: dict[str, tuple[Panel, ...]] = {
    "Protected?": (
        Panel(
            "Critical alerts",
            (('count(ALERTS{alertstate="firing", severity="critical"}) or vector(0)', ""),),
            "stat",
            steps=_red_from(1),
            description="python -m ops alerts names the page to open for each.",
        ),
        Panel(
            "PostgreSQL answers Barman",
            (("barman_server_up", ""),),
            "stat",
            steps=_green_from(1),
            words=_YES_NO,
        ),
        Panel(
            "WAL receivers that run",
            (("barman_receiver_processes", ""),),
            "stat",
            steps=_green_from(1),
        ),
        Panel(
            "Exporters that are silent",
            (("count(up == 0) or vector(0)", ""),),
            "stat",
            steps=_red_from(1),
            description="What they watch is not watched.",
        ),
        Panel(
            "Alerts that fire, the heartbeat among them",
            (('ALERTS{alertstate="firing"}', "{{alertname}} {{machine}}"),),
            "state-timeline",
            width=COLUMNS,
            words={"1": "fires"},
        ),
    ),
    "WAL to Barman": (
        Panel(
            "WAL flushed by PostgreSQL and not by Barman",
            (("barman_wal_lag_bytes", "bytes"),),
            unit="bytes",
            width=8,
            description="What would be lost if PostgreSQL's machine vanished.",
        ),
        Panel(
            "Age of the oldest such WAL",
            (("barman_wal_lag_seconds", "seconds"),),
            unit="s",
            width=8,
            steps=_red_from(60),
        ),
        Panel(
            "WAL kept for Barman by its slot",
            (
                ('pg_replication_slots_pg_wal_lsn_diff{slot_name="barman"}', "kept"),
                ("pg_settings_max_slot_wal_keep_size_bytes", "limit, then there is a gap"),
            ),
            unit="bytes",
            width=8,
        ),
        Panel(
            "WAL written by PostgreSQL",
            (("rate(barman_wal_server_lsn_bytes[5m])", "written"),),
            unit="Bps",
            width=8,
        ),
        Panel(
            "Since the last archived segment",
            (("time() - barman_wal_last_archived_timestamp_seconds", "age"),),
            unit="s",
            width=8,
            steps=_red_from(2 * 3600 + 600),
        ),
        Panel(
            "Segments that are missing",
            (("barman_wal_missing_segments", "since {{since}}"),),
            width=8,
            steps=_red_from(1),
        ),
    ),
    "Backups": (
        Panel(
            "Age of the newest complete backup",
            (("time() - barman_last_backup_timestamp_seconds", ""),),
            "stat",
            unit="s",
            steps=_red_from(26 * 3600),
        ),
        Panel(
            "How far back one can go",
            (("time() - barman_window_start_timestamp_seconds", ""),),
            "stat",
            unit="s",
        ),
        Panel(
            "Last backup found sound when read again",
            (("backup_verification_last_ok", ""),),
            "stat",
            steps=_green_from(1),
            words=_YES_NO,
        ),
        Panel(
            "Lines of barman check that are not OK",
            (("count(barman_check_ok == 0) or vector(0)", ""),),
            "stat",
            steps=_red_from(1),
        ),
        Panel("Backups", (("barman_backups", "{{status}}"),), width=6),
        Panel(
            "Size of the newest",
            (
                ("barman_last_backup_restored_bytes", "restored"),
                ("barman_last_backup_size_bytes", "stored"),
            ),
            unit="bytes",
        ),
        Panel("Time it took", (("barman_last_backup_duration_seconds", "duration"),), unit="s"),
        Panel(
            "Space that backups and WAL take",
            (("barman_catalogue_bytes", "{{kind}}"),),
            unit="bytes",
        ),
    ),
    "Disks": (
        Panel(
            "/data, used",
            ((_USED, "{{machine}}"),),
            unit="percentunit",
            width=12,
            steps=((FROM_THE_START, "green"), (0.85, "orange"), (0.95, "red")),
        ),
        Panel(
            "/data, free",
            (('node_filesystem_avail_bytes{mountpoint="/data"}', "{{machine}}"),),
            unit="bytes",
            width=12,
        ),
    ),
    "Durability": (
        Panel(
            "Commits go on without Barman, by reason",
            (("durability_guard_exposed", "{{reason}}"),),
            "state-timeline",
            width=12,
            steps=_red_from(1),
            words=_YES_NO,
        ),
        Panel(
            "Commits that wait for Barman",
            (("durability_guard_waiting_commits", "waiting"),),
        ),
        Panel(
            "Barman has confirmed nothing for",
            (("durability_guard_waiting_seconds", "seconds"),),
            unit="s",
        ),
    ),
    "Drills and certificates": (
        Panel(
            "Last drill, by outcome",
            (("1000 * restore_drill_last_timestamp_seconds", "{{outcome}}"),),
            "stat",
            unit="dateTimeFromNow",
            words={"0": "never"},
        ),
        Panel("RTO of the drills", (("restore_drill_rto_seconds", "RTO"),), unit="s"),
        Panel("RPO of the drills", (("restore_drill_rpo_seconds", "RPO"),), unit="s"),
        Panel(
            "PostgreSQL's certificate ends in",
            (("barman_certificate_expiry_timestamp_seconds - time()", ""),),
            "stat",
            unit="s",
            steps=_green_from(14 * 86400),
        ),
    ),
}


def dashboard() -> dict[str, Any]:
    """The whole of it, as Grafana imports it."""
    return {
        "title": "PostgreSQL with Barman",
        "uid": "postgres-barman",
        "description": "Written by python -m tools.grafana_dashboard; docs/monitoring.md",
        "tags": ["postgresql", "barman"],
        "timezone": "utc",
        "editable": True,
        "refresh": "1m",
        "schemaVersion": 39,
        "time": {"from": "now-7d", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "source",
                    "label": "Prometheus of the Barman machine",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": list(_panels()),
    }


def _panels() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    top = 0
    for title, row in ROWS.items():
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
        made.append({"type": "row", "title": title, "collapsed": False, "gridPos": place})
        top += 1
        left, tallest = 0, 0
        for panel in row:
            if left + panel.width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            place = {"h": panel.height, "w": panel.width, "x": left, "y": top}
            made.append(_panel(panel, place))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
    return [{"id": number} | panel for number, panel in enumerate(made, 1)]


def _panel(panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "thresholds": {
            "mode": "absolute",
            "steps": [{"value": value, "color": colour} for value, colour in panel.steps],
        },
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
    }
    if panel.words:
        shown = {value: {"text": word} for value, word in panel.words.items()}
        defaults["mappings"] = [{"type": "value", "options": shown}]
    if panel.kind == "timeseries":
        defaults["min"] = 0
        if len(panel.steps) > 1:
            defaults["custom"] = {"thresholdsStyle": {"mode": "line"}}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expr, "legendFormat": legend or "__auto"}
            for index, (expr, legend) in enumerate(panel.queries)
        ],
    }


def text() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
