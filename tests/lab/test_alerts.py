"""Alerts by their real causes: what arrives by mail and webhook, and that it ends.

Causes that do not touch each other are set together.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.alerts import Inbox
from tests.support.stack import BARMAN, POSTGRES, Stack

pytestmark = pytest.mark.monitoring

HOLD_RECEIVER = """
set -eu
systemctl stop barman-receiver-watch
mv /etc/cron.d/barman /root/
pkill -u barman -f 'pg_receivewal|barman.* receive-wal ' || true
systemd-run --quiet --collect --unit=hold-lock flock /data/barman/.pg-receive-wal.lock sleep 600
"""
# Its checkpoint takes its time: long enough to be killed in. Not the call that asks for a version.
BREAK_BACKUP = """
runuser -u barman -- barman backup pg >/dev/null 2>&1 &
timeout 120 sh -c 'until pkill -u barman -f "pg_basebackup.*--pgdata"; do sleep 0.2; done'
wait
"""
LET_RECEIVER = """
systemctl stop hold-lock
mv /root/barman /etc/cron.d/
systemctl start barman-receiver-watch
"""


@pytest.fixture(autouse=True)
def nothing_fires(inbox: Inbox) -> Iterator[None]:
    """The negative control before and after every cause."""
    inbox.wait_quiet()
    inbox.wait_heartbeat()
    yield
    inbox.wait_quiet()


def test_no_receiver_though_the_check_is_green_and_a_full_disk(stack: Stack, inbox: Inbox) -> None:
    try:
        stack.on(
            BARMAN,
            "fallocate -l $(($(df -B1 --output=avail /data | tail -1) * 96 / 100)) /data/ballast",
        )
        stack.on(BARMAN, HOLD_RECEIVER)
        # Something that Barman is to get, from somebody who does not wait for it.
        stack.sql("SET synchronous_commit = local; CREATE TABLE sent AS SELECT 1; DROP TABLE sent")
        inbox.wait_firing(
            ("WalReceiverNotRunning", "barman"),
            ("WalNotArriving", "barman"),
            ("DurabilityFellBack", "postgres"),
            ("DiskFull", "barman"),
        )
        checks = stack.on(BARMAN, "runuser -u barman -- barman check pg", check=False)
        assert "receive-wal running: OK" in checks
        output = stack.ops("alerts", "--json", check=False)
        assert output.returncode == 2
        found = {alert["name"]: alert for alert in json.loads(output.stdout)["alerts"]}
        assert "backups-do-not-arrive" in found["WalReceiverNotRunning"]["runbook"]
    finally:
        stack.on(BARMAN, LET_RECEIVER)
        stack.on(BARMAN, "rm -f /data/ballast")
    inbox.wait_quiet()
    assert stack.ops("alerts").stdout.strip() == "No alert fires."


def test_a_dropped_slot_a_failed_backup_and_a_certificate_near_its_end(
    stack: Stack, inbox: Inbox, tmp_path: Path
) -> None:
    pem = f"{stack.configuration}/server.pem"
    authority = "/etc/ssl/postgresql-ca.pem"
    short_lived = _certificate(tmp_path, str(stack.outputs["postgres"]["privateAddress"]), days=10)
    try:
        stack.on(POSTGRES, f"cp -a {pem} /root/; cat >{pem} <<'EOF'\n{short_lived}\nEOF")
        stack.on(BARMAN, f"cp -a {authority} /root/; cat >{authority} <<'EOF'\n{short_lived}\nEOF")
        stack.sql("SELECT pg_reload_conf()")
        stack.on(BARMAN, BREAK_BACKUP)
        stack.on(BARMAN, "mv /etc/cron.d/barman /root/; pkill -u barman -x pg_receivewal")
        stack.sql(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
            "WHERE active_pid IS NOT NULL; SELECT pg_sleep(1);"
            "SELECT pg_drop_replication_slot('barman')"
        )
        inbox.wait_firing(
            ("SlotMissing", "postgres"),
            ("DurabilityFellBack", "postgres"),
            ("WalReceiverNotRunning", "barman"),
            ("BackupFailed", "barman"),
            ("CertificateEnds", "barman"),
        )
    finally:
        stack.on(POSTGRES, f"mv /root/server.pem {pem}")
        stack.on(BARMAN, f"mv /root/postgresql-ca.pem {authority}")
        stack.sql("SELECT pg_reload_conf()")
        stack.barman("receive-wal", "--create-slot", "pg")
        stack.on(BARMAN, "mv /root/barman /etc/cron.d/")
        for backup in json.loads(stack.barman("-f", "json", "list-backups", "pg"))["pg"]:
            if backup["status"] == "FAILED":
                stack.barman("delete", "pg", backup["backup_id"])


def _certificate(folder: Path, address: str, *, days: int) -> str:
    """Key and self-signed certificate for `address`, as PEM."""
    key, certificate = folder / "key", folder / "certificate"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            str(days),
            "-subj",
            "/CN=postgres",
            "-addext",
            f"subjectAltName=IP:{address}",
            "-keyout",
            key,
            "-out",
            certificate,
        ],
        check=True,
        capture_output=True,
    )
    return f"{certificate.read_text()}{key.read_text()}".strip()


@pytest.mark.parametrize(
    ("stopped", "alerts"),
    [
        (
            [
                (POSTGRES, "prometheus-postgres-exporter"),
                (POSTGRES, "durability-guard"),
                (BARMAN, "barman-exporter"),
            ],
            [("ExporterDown", "postgres"), ("GuardSilent", "postgres"), ("ExporterDown", "barman")],
        ),
        (
            [(POSTGRES, "prometheus-node-exporter"), (BARMAN, "prometheus-node-exporter")],
            [("ExporterDown", "postgres"), ("ExporterDown", "barman")],
        ),
        ([(BARMAN, "prometheus")], [("PrometheusSilent", "barman")]),
    ],
    ids=["exporters and guard", "node exporters", "prometheus"],
)
def test_what_watches_is_watched(
    stack: Stack,
    inbox: Inbox,
    stopped: list[tuple[str, str]],
    alerts: list[tuple[str, str]],
) -> None:
    try:
        for machine, unit in stopped:
            stack.on(machine, f"systemctl stop {unit}")
        inbox.wait_firing(*alerts)
        if (BARMAN, "prometheus") in stopped:
            inbox.wait_silence()
    finally:
        for machine, unit in stopped:
            stack.on(machine, f"systemctl start {unit}")


def test_nothing_is_heard_any_more_of_alertmanager_when_it_is_stopped(
    stack: Stack, inbox: Inbox
) -> None:
    try:
        stack.on(BARMAN, "systemctl stop prometheus-alertmanager")
        inbox.wait_silence()
        output = stack.ops("alerts", check=False)
        assert output.returncode == 2
        assert "monitoring-is-silent" in output.stderr
    finally:
        stack.on(BARMAN, "systemctl start prometheus-alertmanager")
    inbox.wait_heartbeat()


def test_a_machine_that_is_off_is_told_by_the_other_or_by_silence(
    stack: Stack, inbox: Inbox
) -> None:
    try:
        stack.lab_command("power-off", POSTGRES)
        inbox.wait_firing(("MachineDown", "postgres"))
    finally:
        stack.lab_command("power-on", POSTGRES)
    inbox.wait_quiet()
    try:
        stack.lab_command("power-off", BARMAN)
        inbox.wait_silence()
    finally:
        stack.lab_command("power-on", BARMAN)
    inbox.wait_heartbeat()
