"""The alerts that test_alerts.py leaves, each by its real cause, beside what else that cause rings.

Where a rule waits for hours or days, the rule is shortened, never the cause.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.alerts import EXPORTER, RULES, Inbox, changed
from tests.support.guard import shut_out
from tests.support.stack import BARMAN, POSTGRES, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.monitoring, pytest.mark.deep]

GUARD = "/etc/durability-guard.json"
STORE = "/data/barman/pg"
# For as long as it takes to be noticed; ends by itself when Barman is back.
COMMIT = (
    "cd /; systemd-run --quiet --collect --unit=waiting-commit --uid=postgres "
    "psql -X -d app -c 'CREATE TABLE waits (); DROP TABLE waits'"
)


@pytest.fixture(autouse=True)
def nothing_fires(inbox: Inbox) -> Iterator[None]:
    """The negative control before and after every cause."""
    inbox.wait_quiet()
    yield
    inbox.wait_quiet()


@contextmanager
def no_receiver(stack: Stack) -> Iterator[None]:
    """Barman receives nothing, and does not begin to again."""
    stack.on(BARMAN, "mv /etc/cron.d/barman /root/; systemctl stop barman-receiver-watch")
    stack.on(BARMAN, "pkill -u barman -f 'pg_receivewal|barman.* receive-wal '", check=False)
    try:
        yield
    finally:
        stack.on(BARMAN, "mv /root/barman /etc/cron.d/; systemctl start barman-receiver-watch")


def level(stack: Stack, name: str) -> None:
    """Tell the guard another level of durability, as `pulumi up` does."""
    config = json.loads(stack.on(POSTGRES, f"cat {GUARD}"))
    text = json.dumps(config | {"level": name})
    stack.on(POSTGRES, f"cat >{GUARD} <<'END'\n{text}\nEND\nsystemctl restart durability-guard")


def newest_backup(stack: Stack) -> str:
    return json.loads(stack.barman("-f", "json", "list-backups", "pg"))["pg"][0]["backup_id"]


def test_postgres_is_stopped(stack: Stack, inbox: Inbox) -> None:
    unit = stack.unit
    try:
        stack.on(POSTGRES, f"systemctl stop {unit}")
        # It begins without having seen the server's certificate.
        stack.on(BARMAN, "systemctl restart barman-exporter")
        inbox.wait_firing(("PostgresDown", "barman"), ("BarmanCheckFailed", "barman"))
    finally:
        stack.on(POSTGRES, f"systemctl start {unit}")


def test_commits_wait(stack: Stack, inbox: Inbox) -> None:
    level(stack, "sync")
    try:
        with no_receiver(stack):
            stack.on(POSTGRES, COMMIT)
            inbox.wait_firing(("CommitsWait", "postgres"))
    finally:
        level(stack, "sync-with-fallback")


def test_the_guard_is_shut_out(stack: Stack, inbox: Inbox) -> None:
    with shut_out(stack):
        inbox.wait_firing(("GuardBlind", "postgres"))
        reasons = [reason["text"] for reason in stack.status()["reasons"]]
        assert any("guard cannot ask PostgreSQL" in text for text in reasons)


def test_durability_is_not_reached(stack: Stack, inbox: Inbox) -> None:
    level(stack, "async")
    with no_receiver(stack):
        level(stack, "sync-with-fallback")
        inbox.wait_firing(("DurabilityNotReached", "postgres"))


def test_no_snapshot_can_be_taken_nor_removed(stack: Stack, inbox: Inbox) -> None:
    """A tablespace on another file system cannot be cloned; a file that is immutable stays."""
    name = stack.ops("snapshot").stdout.partition(":")[0]
    stays = f"/data/snapshots/{name}/data/PG_VERSION"
    stack.on(POSTGRES, f"chattr +i {stays}")
    refused = stack.ops("snapshots", "--drop", name, check=False)
    assert refused.returncode == 2
    assert f"{name} cannot be removed" in " ".join(refused.stderr.split())
    place, configuration = "/mnt/other disk", "/etc/local-snapshots.json"
    scheduled = json.dumps(json.loads(stack.on(POSTGRES, f"cat {configuration}")) | {"every_s": 20})
    stack.on(POSTGRES, f"cp -a {configuration} /root/; mkdir '{place}'")
    stack.on(POSTGRES, f"mount -t tmpfs none '{place}' && chown postgres '{place}'")
    stack.sql(f"CREATE TABLESPACE other LOCATION '{place}'")
    stack.sql("CREATE TABLE there TABLESPACE other AS SELECT 1 AS id")
    try:
        stack.on(
            POSTGRES,
            f"cat >{configuration} <<'END'\n{scheduled}\nEND\nsystemctl restart local-snapshots",
        )
        inbox.wait_firing(("SnapshotOverdue", "postgres"), ("SnapshotStuck", "postgres"))
        log = stack.on(POSTGRES, "journalctl -q --no-pager -o cat -u local-snapshots")
        assert "a tablespace on another disk" in log
        assert f"{name} cannot be removed" in log
        assert stack.on(POSTGRES, "ls /data/snapshots") == name
    finally:
        stack.on(POSTGRES, f"chattr -i {stays}")
        stack.sql("DROP TABLE there")
        stack.sql("DROP TABLESPACE other")
        stack.on(
            POSTGRES, f"umount '{place}'; rmdir '{place}'; mv /root/local-snapshots.json /etc/"
        )
        stack.on(POSTGRES, "systemctl restart local-snapshots")
    eventually("it to go", lambda: stack.on(POSTGRES, "ls /data/snapshots") == "")


def test_certificate_of_an_authority_that_barman_does_not_know(stack: Stack, inbox: Inbox) -> None:
    authority = "/etc/ssl/postgresql-ca.pem"
    other = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 100 "
        f"-subj /CN=other -keyout /dev/null -out {authority} 2>/dev/null"
    )
    stack.on(BARMAN, f"cp -a {authority} /root/authority && {other}")
    try:
        inbox.wait_firing(("CertificateNotVerified", "barman"))
    finally:
        stack.on(BARMAN, f"mv /root/authority {authority}")


def test_slot_that_keeps_too_much_is_invalidated(stack: Stack, inbox: Inbox) -> None:
    write = "SELECT pg_switch_wal(), pg_logical_emit_message(false, 'fault', repeat('x', 33554432))"
    # Another tool's, which nobody reads from either.
    stack.sql("SELECT pg_create_physical_replication_slot('debezium', true)")
    stack.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '128MB'")
    stack.sql("SELECT pg_reload_conf()")
    try:
        with no_receiver(stack):
            for _ in range(3):
                stack.sql(write)
            inbox.wait_firing(
                ("SlotRetainsTooMuch", "postgres"), ("OtherSlotRetainsTooMuch", "postgres")
            )
            for _ in range(3):
                stack.sql(write)
            stack.sql("CHECKPOINT")
            inbox.wait_firing(("SlotLost", "postgres"))
    finally:
        stack.sql("ALTER SYSTEM RESET max_slot_wal_keep_size")
        stack.sql("SELECT pg_reload_conf()")
        stack.sql("SELECT pg_drop_replication_slot('debezium')")
    stack.ops("rejoin")


def test_archived_segment_is_missing(stack: Stack, inbox: Inbox) -> None:
    path = stack.archived_segment()
    stack.archived_segment()
    stack.on(BARMAN, f"mv {path} /root/hidden")
    try:
        inbox.wait_firing(("ArchiveGap", "barman"))
    finally:
        stack.on(BARMAN, f"mv /root/hidden {path}")


def test_nothing_is_archived(stack: Stack, inbox: Inbox) -> None:
    stack.archived_segment()
    with changed(stack, RULES, r"s/2 \* 3600 \+ 600/90/; s/seconds > 300$/seconds > 90/"):
        stack.on(BARMAN, "mv /etc/cron.d/barman /root/")
        try:
            inbox.wait_firing(("WalNotArchived", "barman"), ("BarmanCronNotRunning", "barman"))
        finally:
            stack.on(BARMAN, "mv /root/barman /etc/cron.d/")
        stack.archived_segment()
        inbox.wait("it to end", lambda: ("WalNotArchived", "barman") not in inbox.firing)


def test_no_good_backup(stack: Stack, inbox: Inbox) -> None:
    with changed(stack, EXPORTER, r's/("backup_maximum_age_s": )[0-9.]+/\1120/'):
        inbox.wait_firing(("NoGoodBackup", "barman"))
        stack.ops("backup", "--wait")
        inbox.wait("it to end", lambda: ("NoGoodBackup", "barman") not in inbox.firing, 60)


def test_no_drill_for_long(stack: Stack, inbox: Inbox) -> None:
    with changed(stack, RULES, r"s/8 \* 86400/120/"):
        inbox.wait_firing(("DrillOverdue", "barman"))
        stack.ops("drill", "--now")
        inbox.wait("it to end", lambda: ("DrillOverdue", "barman") not in inbox.firing, 60)


def test_drill_declines_for_want_of_space(stack: Stack, inbox: Inbox) -> None:
    stack.on(
        BARMAN,
        "free=$(df -B1 --output=avail /data | tail -1); "
        "fallocate -l $((free - 5 * 1024 * 1024 * 1024)) /data/filler",
    )
    try:
        assert stack.ops("drill", "--now", check=False).returncode == 1
        inbox.wait_firing(("DrillFailed", "barman"))
        assert "declined" in inbox.firing["DrillFailed", "barman"]["annotations"]["summary"]
    finally:
        stack.on(BARMAN, "rm -f /data/filler")
    stack.ops("drill", "--now")


def test_damaged_backup_fails_its_verification_and_its_drill(stack: Stack, inbox: Inbox) -> None:
    stack.on(BARMAN, "systemctl stop backup-verify.timer backup-verify.service")
    older = newest_backup(stack)
    stack.ops("backup", "--wait")
    backup = newest_backup(stack)
    file = f"{STORE}/base/{backup}/data/base.tar.zst"
    damage = r"printf '\377\000\377' | dd bs=1 seek=20000 conv=notrunc status=none"
    stack.on(BARMAN, f"{damage} of={file}")
    try:
        assert stack.ops("drill", "--now", check=False).returncode == 2
        inbox.wait_firing(("DrillFailed", "barman"))
        assert "failed" in inbox.firing["DrillFailed", "barman"]["annotations"]["summary"]
        assert stack.ops("verify", backup, check=False).returncode == 1
        inbox.wait_firing(("BackupVerificationFailed", "barman"))
        # An older one that is read after it, and is sound, does not hide it.
        stack.ops("verify", older)
        time.sleep(10)
        assert ("BackupVerificationFailed", "barman") in inbox.firing
        stack.ops("backup", "--wait")
        # As its page says.
        stack.barman("delete", "pg", backup)
    finally:
        stack.on(BARMAN, "systemctl start backup-verify.timer")
    stack.ops("drill", "--now")


def test_disk_fills_up(stack: Stack, inbox: Inbox) -> None:
    """Steadily, and by now it is almost full."""
    fast = (
        r"s/\[2d\], 48 \* 3600/[30s], 600/",
        r"s/offset 1d/offset 20s/",
        "s/interval: 5m/interval: 2s/",
    )
    with changed(stack, RULES, *fast):
        stack.on(
            BARMAN,
            "fallocate -l $(($(df -B1 --output=avail /data | tail -1) * 88 / 100)) /data/filler",
        )
        try:
            inbox.wait_firing(("DiskAlmostFull", "barman"))
            stack.on(
                BARMAN,
                "for n in $(seq 40); do fallocate -l 100M /data/filler.$n; sleep 1; done",
            )
            inbox.wait_firing(("DiskFullSoon", "barman"))
        finally:
            stack.on(BARMAN, "rm -f /data/filler*")
        inbox.wait_quiet()


@pytest.mark.parametrize(
    ("machine", "name"),
    [(BARMAN, ("DiskNotMounted", "barman")), (POSTGRES, ("PostgresDiskNotMounted", "postgres"))],
)
def test_disk_is_not_mounted(
    stack: Stack, inbox: Inbox, machine: str, name: tuple[str, str]
) -> None:
    stack.on(machine, "umount --lazy /data")
    try:
        inbox.wait_firing(name)
    finally:
        stack.on(machine, "mount /data")


def test_exporter_is_stuck(stack: Stack, inbox: Inbox) -> None:
    history = "/var/lib/restore-drill/history.jsonl"
    stack.on(BARMAN, f"mv {history} /root/drills 2>/dev/null; mkdir {history}")
    try:
        inbox.wait_firing(("BarmanExporterStuck", "barman"))
    finally:
        stack.on(BARMAN, f"rmdir {history}; mv /root/drills {history} 2>/dev/null; true")


def test_alerts_are_not_delivered(inbox: Inbox) -> None:
    """One way is shut: the other one tells it."""
    inbox.web_refuses = True
    try:
        inbox.wait_mail("AlertsNotDelivered", "Alertmanager cannot deliver by webhook")
    finally:
        inbox.web_refuses = False
    inbox.wait_heartbeat()
