"""Reports as they are on ordinary and on bad days, for the tests of the page."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ops.archive.window import BackupEntry, BackupList, Window
from ops.archive.windows import Interval
from ops.model import (
    BackupStatus,
    Check,
    Disk,
    MachineStatus,
    PostgresStatus,
    ReceiverStatus,
    SlotStatus,
    Status,
    Verdict,
)
from ops.reach import barman
from ops.report.model import Part, Report
from ops.watch.alerts import Alert, Alerts, Severity
from ops.watch.capacity import Capacity, DiskCapacity
from ops.watch.certificates import Certificate
from ops.watch.drills import Drill, DrillList
from ops.watch.durability import Durability, Exposure
from ops.watch.statements import Statement, Statements
from ops.watch.status import worst
from ops.watch.verdict import judge

AT = datetime(2026, 5, 9, 7, 30, 12, tzinfo=UTC)
GIB = 2**30
RECORDED = Path(__file__).with_name("recorded")
NEVER_ANSWERED = "198.18.3.2:22 did not answer within 15 s"


def healthy() -> Report:
    """A week of good nights, a recovery on the fourth day, two short fallbacks."""
    entries = [_night(day, timeline=1 if day < 4 else 2) for day in range(8)]
    window = Window(
        at=AT,
        newest_timeline=2,
        intervals=[
            _stretch(1, entries[:4], until=AT - timedelta(days=3, hours=14)),
            _stretch(2, entries[4:], until=AT - timedelta(seconds=3), current=True),
        ],
    )
    durability = Durability(
        level="sync-with-fallback",
        commits_wait=True,
        sync_state="sync",
        waiting_commits=0,
        guard_running=True,
        exposures=[
            _exposure("recovery", AT - timedelta(days=3, hours=14), 1240),
            _exposure("fallback", AT - timedelta(days=1, hours=9), 312),
        ],
    )
    return _judged(_status(entries), entries, window, durability)


def fallback() -> Report:
    """Barman's receiver has been away for a quarter of an hour; commits go on alone."""
    report = healthy()
    status, durability, window = report.status, report.durability.value, report.window.value
    assert durability and window and report.backups.value and status.postgres and status.slot
    status.receiver = None
    status.possible_loss_bytes = None
    status.postgres.synchronous_standby_names = ""
    status.slot.active = False
    status.slot.retained_bytes = 640 * 2**20
    durability.commits_wait, durability.sync_state = False, None
    began = AT - timedelta(minutes=16)
    window.intervals[-1].ends = began - timedelta(seconds=31)
    durability.exposures.append(_exposure("fallback", began, None))
    firing = [
        alert("DurabilityFellBack", "Commits do not wait for Barman."),
        alert("WalNotArriving", "Barman has received no WAL for 60 s."),
    ]
    return _judged(status, report.backups.value.backups[::-1], window, durability, firing)


def no_backup_for_two_days() -> Report:
    """The last two nights' backups failed; WAL still arrives."""
    report = healthy()
    window, durability = report.window.value, report.durability.value
    assert window and durability
    entries = [_night(day, timeline=1 if day < 4 else 2) for day in range(8)]
    for entry in entries[-2:]:
        entry.status, entry.restorable = "FAILED", False
        entry.ended_at = entry.size_bytes = entry.restored_bytes = entry.verified = (
            entry.verified_at
        ) = None
        entry.error = "failure copying base backup (pg_basebackup terminated)"
    window.intervals[-1].backups = [entry.id for entry in entries[4:-2]]
    status = _status(entries)
    for check in status.checks:
        if check.name == "backup_maximum_age":
            check.ok = False
            check.hint = "interval provided: 1 day, 2 hours, latest backup age: 2 days, 2 hours"
        if check.name == "failed_backups":
            check.ok, check.hint = False, "there are 2 failed backups"
    firing = [alert("NoGoodBackup", "No backup has been complete for 26 h.")]
    return _judged(status, entries, window, durability, firing)


def postgres_gone() -> Report:
    """PostgreSQL's machine does not answer; Barman has everything but the last moments."""
    report = healthy()
    status = report.status
    status.postgres_machine = MachineStatus(
        name="postgres-prod", reachable=False, error="10.20.0.4:22 did not answer within 15 s"
    )
    status.postgres = status.receiver = status.slot = status.possible_loss_bytes = None
    for name in ("postgresql", "postgresql_streaming"):
        status.checks = [
            Check(name=name, ok=False) if check.name == name else check for check in status.checks
        ]
    status.reasons = judge(status)
    status.verdict = worst(status.reasons)
    problem = f"postgres-prod cannot be reached: {status.postgres_machine.error}"
    return replace(
        report,
        durability=Part(problem=problem),
        certificate=Part(problem=problem),
        capacity=Part(problem=problem),
    )


def barman_gone() -> Report:
    """The Barman machine does not answer, and it is the way to the other one."""
    status = healthy().status
    status.barman_machine = MachineStatus(name="barman-prod", reachable=False, error=NEVER_ANSWERED)
    status.postgres_machine = MachineStatus(
        name="postgres-prod", reachable=False, error="its jump host, barman-prod, cannot be reached"
    )
    status.postgres = status.receiver = status.slot = status.possible_loss_bytes = None
    status.last_backup = status.last_done_backup = status.restorable_from = None
    status.barman_version, status.checks, status.backups = None, [], 0
    status.reasons = judge(status)
    status.verdict = worst(status.reasons)
    problem = f"barman-prod cannot be reached: {NEVER_ANSWERED}"
    closed = f"postgres-prod cannot be reached: {status.postgres_machine.error}"
    return Report(
        status,
        Part(problem=problem),
        Part(problem=problem),
        Part(problem=closed),
        Part(problem=problem),
        Part(problem=problem),
        Part(problem=closed),
        Part(problem=closed),
        Part(problem=closed),
    )


def alert(name: str, summary: str = "A sentence.") -> Alert:
    """A critical one, for a quarter of an hour."""
    return Alert(
        name=name,
        severity=Severity.CRITICAL,
        machine=None,
        summary=summary,
        runbook="docs/runbooks/backups-do-not-arrive.md",
        since=AT - timedelta(minutes=14),
        silenced=False,
    )


STATES = {
    "healthy": healthy,
    "fallback": fallback,
    "no-backup-for-two-days": no_backup_for_two_days,
    "postgres-gone": postgres_gone,
    "barman-gone": barman_gone,
}


def _night(day: int, timeline: int) -> BackupEntry:
    began = AT.replace(hour=4, minute=0, second=1) - timedelta(days=7 - day)
    return BackupEntry(
        id=f"{began:%Y%m%dT%H%M%S}",
        status="DONE",
        timeline=timeline,
        ended_at=began + timedelta(minutes=11),
        size_bytes=int((18 + 0.6 * day) * GIB / 4),
        restored_bytes=int((18 + 0.6 * day) * GIB),
        restorable=True,
        verified=True,
        verified_at=began + timedelta(minutes=34),
        error=None,
    )


def _stretch(
    timeline: int, entries: list[BackupEntry], until: datetime, *, current: bool = False
) -> Interval:
    starts = entries[0].ended_at
    assert starts is not None
    return Interval(
        timeline=timeline,
        backups=[entry.id for entry in entries],
        starts=starts,
        ends=until,
        start_lsn=0x1000000,
        end_lsn=0x9000000,
        current=current,
        includes_partial=current,
        after_gap=False,
    )


def _exposure(reason: str, began: datetime, seconds: float | None) -> Exposure:
    return Exposure(
        reason=reason,
        began_at=began,
        ended_at=None if seconds is None else began + timedelta(seconds=seconds),
        seconds=seconds,
        began_lsn="2F/19274B8",
        ended_lsn=None if seconds is None else "2F/19E75B8",
    )


def _machine(name: str, total: int, used: int) -> MachineStatus:
    disk = Disk(mounted=True, total_bytes=total, used_bytes=used, free_bytes=total - used)
    return MachineStatus(
        name=name, reachable=True, uptime_s=3e6, os="Debian GNU/Linux 13 (trixie)", disk=disk
    )


def _status(entries: list[BackupEntry]) -> Status:
    backups = [
        BackupStatus(
            id=entry.id,
            status=entry.status,
            type="full",
            ended_at=entry.ended_at,
            size_bytes=entry.size_bytes,
            verified=entry.verified,
            verified_at=entry.verified_at,
        )
        for entry in reversed(entries)
    ]
    done = [backup for backup in backups if backup.status == "DONE"]
    answer = json.loads((RECORDED / "check-ok.json").read_text())
    return Status(
        verdict=Verdict.PROTECTED,
        reasons=[],
        at=AT,
        server="pg",
        durability="sync-with-fallback",
        guard_level="sync-with-fallback",
        postgres_machine=_machine("postgres-prod", 1100 * GIB, 214 * GIB),
        barman_machine=_machine("barman-prod", 250 * GIB, 187 * GIB),
        postgres=PostgresStatus(
            accepting=True,
            version="17.12",
            system_id="7711691341334097878",
            timeline=2,
            in_recovery=False,
            started_at=AT - timedelta(days=3, hours=13),
            lsn="2F/502BF00",
            synchronous_standby_names="barman_receive_wal",
            connections=41,
        ),
        receiver=ReceiverStatus(
            state="streaming",
            sync_state="sync",
            write_lag_bytes=1840,
            flush_lag_bytes=24576,
            connected_at=AT - timedelta(days=1, hours=8),
        ),
        slot=SlotStatus(
            name="barman",
            active=True,
            retained_bytes=24576,
            wal_status="reserved",
            safe_wal_bytes=220 * GIB,
        ),
        barman_version="3.13.3",
        checks=barman.checks(answer, "pg"),
        backups=len(done),
        last_backup=backups[0],
        last_done_backup=done[0],
        restorable_from=done[-1].ended_at,
        possible_loss_bytes=1840,
    )


def _drill(week: int) -> Drill:
    """The third was declined, the fourth failed."""
    began = AT - timedelta(days=37 - 7 * week)
    outcome = {2: "declined", 3: "failed"}.get(week, "passed")
    reasons = {
        "declined": "a backup was being taken",
        "failed": "pg_amcheck: app: heap table public.orders: 1 page is damaged",
    }
    held = outcome != "declined"
    return Drill(
        at=began,
        backup_id=f"{began:%Y%m%d}T040001" if held else None,
        outcome=outcome,
        reason=reasons.get(outcome),
        target_time=began if held else None,
        rto_s=410.0 + 12 * week if held else None,
        rpo_s=2.5 if outcome == "passed" else None,
        restored_bytes=(12 + week) * GIB if held else None,
    )


def _capacity() -> Capacity:
    """Barman's disk will be full in three weeks, PostgreSQL's not for years."""
    full = AT + timedelta(days=22)
    advice = ["Set barmanDiskGb to 612 or more, which lasts for a year, then pulumi up."]
    return Capacity(
        at=AT,
        database_bytes=22 * GIB,
        wal_directory_bytes=GIB,
        backups=8,
        copies_kept=9,
        backup_bytes=22 * GIB,
        measured_days=7,
        growth_bytes_per_day=0.6 * GIB,
        archived_wal_bytes_per_day=1.9 * GIB,
        disks=[
            _disk("postgres-prod", "postgresDiskGb", 1100, 214, None, []),
            _disk("barman-prod", "barmanDiskGb", 250, 187, full, advice),
        ],
    )


def _disk(
    name: str, setting: str, total: int, used: int, full: datetime | None, advice: list[str]
) -> DiskCapacity:
    return DiskCapacity(
        machine=name,
        setting=setting,
        total_bytes=total * GIB,
        used_bytes=used * GIB,
        free_bytes=(total - used) * GIB,
        full_at=full,
        advice=advice,
    )


def _statements() -> Statements:
    return Statements(
        since=AT - timedelta(days=3),
        statements=[
            Statement(
                query="SELECT * FROM orders WHERE note <> $1 -- </script>",
                database="app",
                role="app",
                calls=1000 * number,
                rows=1000,
                total_s=12.5 * number,
                mean_ms=12.5,
                share=0.3,
                read_bytes=2**20,
                temporary_bytes=0,
                wal_bytes=0,
            )
            for number in (2, 1)
        ],
    )


def _judged(
    status: Status,
    entries: list[BackupEntry],
    window: Window,
    durability: Durability,
    firing: Sequence[Alert] = (),
) -> Report:
    status.reasons = judge(status)
    status.verdict = worst(status.reasons)
    return Report(
        status,
        Part(BackupList(backups=entries[::-1])),
        Part(window),
        Part(durability),
        Part(Alerts(at=AT, alerts=list(firing), heartbeat=True)),
        Part(
            DrillList(
                next_at=AT + timedelta(days=5),
                running=False,
                drills=[_drill(week) for week in range(6)],
            )
        ),
        Part(
            Certificate(
                subject="CN=postgres-prod",
                issuer="CN=postgres-barman prod",
                starts=AT - timedelta(days=60),
                ends=AT + timedelta(days=337),
            )
        ),
        Part(_capacity()),
        Part(_statements()),
    )
