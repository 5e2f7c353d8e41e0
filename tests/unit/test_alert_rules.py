"""Every alert rule, evaluated by promtool over made-up series: quiet first, then firing."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from host.monitoring import configuration

ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load(configuration.alert_rules())["groups"]
    for rule in group["rules"]
}
DAY = 24 * 60
NODE = 'job="node",instance="n"'
DISK = f'{NODE},mountpoint="/data",machine="barman"'
BARMAN = 'job="barman",machine="barman",instance="b"'
POSTGRES = 'job="postgres",machine="postgres",instance="p"'
POOLER = 'job="pgbouncer",machine="postgres",instance="b"'
SLOT = f'{POSTGRES},slot_name="barman"'
WAY_BACK = f'{POSTGRES},slot_name="ops_migrate_back_16384"'


@dataclass(frozen=True)
class Case:
    """`series` in promtool's notation, a value every `step` minutes; quiet at one minute and firing
    at another. `quiet` None: it fires from the start on. `never`: still quiet at `fires`.
    """

    alert: str
    series: dict[str, str]
    fires: int
    quiet: int | None = None
    never: bool = False
    step: int = 1


def disk(free: str) -> dict[str, str]:
    return {
        f"node_filesystem_avail_bytes{{{DISK}}}": free,
        f"node_filesystem_size_bytes{{{DISK}}}": "100+0x5000",
    }


def both_up(postgres: str, node: str) -> dict[str, str]:
    return {
        'up{job="postgres",machine="postgres"}': postgres,
        'up{job="node",machine="postgres"}': node,
    }


CASES = [
    Case("Heartbeat", {}, fires=0),
    Case("MachineDown", both_up("1x5 0x10", "1x5 0x10"), quiet=5, fires=8),
    Case("MachineDown", both_up("0x20", "1x20"), fires=15, never=True),
    Case("MachineDown", {'up{job="node",machine="barman"}': "0x20"}, fires=15, never=True),
    Case("ExporterDown", {'up{job="node",machine="barman"}': "1x5 0x10"}, quiet=6, fires=8),
    Case(
        "BarmanExporterStuck",
        {
            f'barman_exporter_collected_timestamp_seconds{{{BARMAN},part="stream"}}': "0+0x20",
            f'barman_exporter_patience_seconds{{{BARMAN},part="stream"}}': "75+0x20",
        },
        quiet=1,
        fires=4,
    ),
    Case(
        "GuardSilent",
        {f'node_textfile_mtime_seconds{{{NODE},file="/run/x/durability-guard.prom"}}': "0+0x20"},
        quiet=1,
        fires=4,
    ),
    Case("GuardSilent", {'up{job="node",machine="postgres"}': "1x20"}, quiet=0, fires=2),
    Case("GuardSilent", {'up{job="node",machine="postgres"}': "0x20"}, fires=9, never=True),
    Case("GuardBlind", {"durability_guard_blind": "0x5 1x10"}, quiet=5, fires=8),
    Case("GuardBlind", {"durability_guard_blind": "0x2 1 0x10"}, fires=4, never=True),
    Case(
        "AlertsNotDelivered",
        {'alertmanager_notifications_failed_total{integration="email"}': "0x20 1+1x20"},
        quiet=20,
        fires=30,
    ),
    Case("PostgresDown", {f"pg_up{{{POSTGRES}}}": "1x5 0x10"}, quiet=6, fires=8),
    Case("PostgresDown", {f"barman_server_up{{{BARMAN}}}": "1x5 0x10"}, quiet=6, fires=8),
    Case(
        "DurabilityFellBack",
        {'durability_guard_exposed{reason="fallback"}': "0x5 1x5"},
        quiet=5,
        fires=6,
    ),
    Case(
        "CommitsWait",
        {
            "durability_guard_waiting_seconds": "0x5 10 70 130",
            "durability_guard_waiting_commits": "0x5 3 3 3",
        },
        quiet=5,
        fires=7,
    ),
    Case("MoveNotFollowed", {'migration_followed{database="shop"}': "1x5 0x10"}, quiet=9, fires=12),
    Case(
        "MoveFillsSource",
        {
            'migration_retained_bytes{database="shop"}': "1000x5 1000x10",
            'migration_safe_bytes{database="shop"}': "2000x5 900x10",
        },
        quiet=5,
        fires=8,
    ),
    Case(
        "MoveFillsSource",
        {'migration_retained_bytes{database="shop"}': "1000x5 30000000000x10"},
        quiet=5,
        fires=8,
    ),
    Case(
        "WayBackBehind",
        {f"pg_replication_slots_pg_wal_lsn_diff{{{WAY_BACK}}}": "100x3 300000000x20"},
        quiet=3,
        fires=6,
    ),
    Case(
        "WayBackBehind",
        {f'pg_replication_slot_wal_status{{{WAY_BACK},wal_status="lost"}}': "_x3 1x20"},
        quiet=3,
        fires=6,
    ),
    Case(
        "SnapshotOverdue",
        {f"local_snapshots_overdue{{{POSTGRES}}}": "0x3 1x20"},
        quiet=8,
        fires=10,
    ),
    Case(
        "SnapshotStuck",
        {f"local_snapshots_stuck{{{POSTGRES}}}": "0x3 1x20"},
        quiet=8,
        fires=10,
    ),
    Case(
        "DurabilityNotReached",
        {'durability_guard_exposed{reason="not armed yet"}': "1x20"},
        quiet=9,
        fires=11,
    ),
    Case(
        "CertificateEnds",
        {f"barman_certificate_expiry_timestamp_seconds{{{BARMAN}}}": f"{15 * 86400}+0x50"},
        quiet=DAY,
        fires=DAY + 120,
        step=60,
    ),
    Case(
        "CertificateNotVerified",
        {
            f"barman_certificate_ok{{{BARMAN}}}": "1x5 0x9",
            f"barman_server_up{{{BARMAN}}}": "1x20",
        },
        quiet=5,
        fires=8,
    ),
    Case("PoolerDown", {f"pgbouncer_up{{{POOLER}}}": "1x5 0x10"}, quiet=6, fires=8),
    # Its exporter ends with it.
    Case("PoolerDown", {f"up{{{POOLER}}}": "1x5 0x10"}, quiet=6, fires=8),
    Case("PoolerDown", {'up{job="postgres",machine="postgres"}': "0x20"}, fires=15, never=True),
    Case(
        "PoolerClientsWait",
        {f'pgbouncer_pools_client_maxwait_seconds{{{POOLER},database="app"}}': "0 5 5 6 30 90"},
        quiet=3,
        fires=5,
    ),
    Case(
        "WalReceiverNotRunning",
        {f"barman_receiver_processes{{{BARMAN}}}": "1x5 0x5"},
        quiet=5,
        fires=7,
    ),
    Case("WalNotArriving", {f"barman_wal_lag_seconds{{{BARMAN}}}": "0 60 61"}, quiet=1, fires=2),
    Case(
        "SlotMissing",
        {
            f"pg_up{{{POSTGRES}}}": "1x20",
            f"pg_replication_slots_pg_wal_lsn_diff{{{SLOT}}}": "0x5 stale",
        },
        quiet=5,
        fires=8,
    ),
    Case(
        "OtherSlotRetainsTooMuch",
        {
            f'pg_replication_slots_pg_wal_lsn_diff{{{POSTGRES},slot_name="debezium"}}': "49x5 51x5",
            f"pg_replication_slots_pg_wal_lsn_diff{{{SLOT}}}": "99x20",
            f"pg_settings_max_slot_wal_keep_size_bytes{{{POSTGRES}}}": "100x20",
        },
        quiet=6,
        fires=8,
    ),
    Case(
        "SlotLost",
        {f'pg_replication_slot_wal_status{{{SLOT},wal_status="lost"}}': "_x5 1x5"},
        quiet=4,
        fires=6,
    ),
    Case(
        "SlotRetainsTooMuch",
        {
            f"pg_replication_slots_pg_wal_lsn_diff{{{SLOT}}}": "49x5 51x5",
            f"pg_settings_max_slot_wal_keep_size_bytes{{{POSTGRES}}}": "100x20",
        },
        quiet=6,
        fires=8,
    ),
    Case(
        # Without a limit the slot is watched by the disk alone.
        "SlotRetainsTooMuch",
        {
            f"pg_replication_slots_pg_wal_lsn_diff{{{SLOT}}}": "49x20",
            f"pg_settings_max_slot_wal_keep_size_bytes{{{POSTGRES}}}": "-1x20",
        },
        fires=15,
        never=True,
    ),
    Case(
        "ArchiveGap",
        {f'barman_wal_missing_segments{{{BARMAN},since="last_backup"}}': "0x5 1x9"},
        quiet=7,
        fires=9,
    ),
    Case(
        "ArchiveGap",
        {f'barman_wal_missing_segments{{{BARMAN},since="window"}}': "1x20"},
        fires=15,
        never=True,
    ),
    Case(
        "WalNotArchived",
        {f"barman_wal_last_archived_timestamp_seconds{{{BARMAN}}}": "0+0x200"},
        quiet=130,
        fires=133,
    ),
    Case(
        "BarmanCronNotRunning",
        {f"barman_cron_timestamp_seconds{{{BARMAN}}}": "0+60x5 300+0x20"},
        quiet=9,
        fires=13,
    ),
    Case(
        "NoGoodBackup",
        {
            f"barman_last_backup_timestamp_seconds{{{BARMAN}}}": "60+0x40",
            f"barman_server_since_timestamp_seconds{{{BARMAN}}}": "1+0x40",
            f"barman_backup_maximum_age_seconds{{{BARMAN}}}": "93600+0x40",
        },
        quiet=26 * 60,
        fires=28 * 60,
        step=60,
    ),
    Case(
        # There never was one.
        "NoGoodBackup",
        {
            f"barman_last_backup_timestamp_seconds{{{BARMAN}}}": "0+0x40",
            f"barman_server_since_timestamp_seconds{{{BARMAN}}}": "60+0x40",
            f"barman_backup_maximum_age_seconds{{{BARMAN}}}": "93600+0x40",
        },
        quiet=26 * 60,
        fires=28 * 60,
        step=60,
    ),
    Case("BackupFailed", {f"barman_last_attempt_ok{{{BARMAN}}}": "1x5 0x9"}, quiet=6, fires=8),
    Case(
        "BarmanCheckFailed",
        {f'barman_check_ok{{{BARMAN},check="wal_level"}}': "1x5 0x9"},
        quiet=10,
        fires=12,
    ),
    Case(
        "DrillFailed",
        {f'restore_drill_last_outcome{{{BARMAN},outcome="declined"}}': "0x5 1x5"},
        quiet=5,
        fires=6,
    ),
    Case(
        "DrillOverdue",
        {
            f'restore_drill_last_timestamp_seconds{{{BARMAN},outcome="passed"}}': "60+0x210",
            f'restore_drill_last_timestamp_seconds{{{BARMAN},outcome="failed"}}': "0+0x210",
        },
        quiet=8 * DAY,
        fires=8 * DAY + 120,
        step=60,
    ),
    Case(
        # None ever was: counted from when Barman met the server.
        "DrillOverdue",
        {
            f'restore_drill_last_timestamp_seconds{{{BARMAN},outcome="passed"}}': "0+0x210",
            f"barman_server_since_timestamp_seconds{{{BARMAN}}}": "60+0x210",
        },
        quiet=8 * DAY,
        fires=8 * DAY + 120,
        step=60,
    ),
    Case(
        "BackupVerificationFailed",
        {f"backup_verification_last_ok{{{BARMAN}}}": "1x5 0x5"},
        quiet=5,
        fires=6,
    ),
    Case("DiskAlmostFull", disk("16x5 14x9"), quiet=6, fires=8),
    Case("DiskFull", disk("6x5 4x9"), quiet=6, fires=8),
    *(
        Case(alert, {f'up{{job="node",machine="{machine}"}}': "1x9"}, quiet=0, fires=2)
        for alert, machine in (
            ("DiskNotMounted", "barman"),
            ("PostgresDiskNotMounted", "postgres"),
        )
    ),
    # 100 GB free, 1 GB less every hour.
    Case(
        "DiskFullSoon",
        {f"node_filesystem_avail_bytes{{{DISK}}}": f"{100 * 10**9}-{10**9 // 2}x200"},
        quiet=51 * 60,
        fires=54 * 60,
        step=30,
    ),
    Case(
        # A first backup on a new machine, then nothing: no trend yet.
        "DiskFullSoon",
        {f"node_filesystem_avail_bytes{{{DISK}}}": f"{100 * 10**9} {60 * 10**9} {50 * 10**9}x99"},
        fires=20 * 60,
        never=True,
        step=30,
    ),
]


def as_promtool(case: Case) -> dict[str, Any]:
    firing = f'count(ALERTS{{alertname="{case.alert}",alertstate="firing"}})'

    def expected(minute: int, *, fires: bool) -> dict[str, Any]:
        samples = [{"labels": "{}", "value": 1}] if fires else []
        return {"expr": firing, "eval_time": f"{minute}m", "exp_samples": samples}

    checks = [] if case.quiet is None else [expected(case.quiet, fires=False)]
    return {
        "interval": f"{case.step}m",
        "input_series": [{"series": k, "values": v} for k, v in case.series.items()],
        "promql_expr_test": [*checks, expected(case.fires, fires=not case.never)],
    }


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_is_quiet_first_and_then_fires(alert: str, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.alert == alert]
    # Alone: the others would be evaluated over the same days for nothing.
    rules = {"groups": [{"name": alert, "rules": [ALERTS[alert]]}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    tests = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{cases[0].step}m",
        "tests": [as_promtool(case) for case in cases],
    }
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(tests))
    done = subprocess.run(
        ["promtool", "test", "rules", tmp_path / "tests.yml"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    assert {case.alert for case in CASES if not case.never} == set(ALERTS)


def test_every_rule_is_fired_by_its_cause_on_the_lab() -> None:
    """The heartbeat always fires: there it is the silence that is tested."""
    lab = Path(__file__).parents[1] / "lab"
    names = ("alerts", "alert_causes", "migrate_follow", "migrate_back", "pooler")
    tests = "".join((lab / f"test_{name}.py").read_text() for name in names)
    assert {name for name in ALERTS if f'"{name}"' not in tests} == {"Heartbeat"}
