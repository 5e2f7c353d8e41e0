"""The verdict, from Barman's recorded answers and made-up states of the server."""

import io
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ops.model import (
    BackupStatus,
    Disk,
    MachineStatus,
    PoolerStatus,
    PostgresStatus,
    Reason,
    ReceiverStatus,
    SlotStatus,
    Status,
    Verdict,
)
from ops.reach import barman
from ops.screen import moment, show_status, size, span
from ops.watch.status import worst
from ops.watch.verdict import judge
from tools import ops_json

RECORDED = Path(__file__).with_name("recorded")
AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROOT = Path(__file__).parents[3]


def recorded(name: str) -> object:
    return json.loads((RECORDED / name).read_text())


def machine(name: str) -> MachineStatus:
    disk = Disk(mounted=True, total_bytes=1000, used_bytes=100, free_bytes=900)
    return MachineStatus(name=name, reachable=True, uptime_s=60, os="Debian", disk=disk)


def healthy() -> Status:
    backup = BackupStatus(id="20260501T040000", status="DONE", type="full", ended_at=AT)
    return Status(
        verdict=Verdict.PROTECTED,
        reasons=[],
        at=AT,
        server="pg",
        durability="async",
        guard_level="async",
        postgres_machine=machine("postgres"),
        barman_machine=machine("barman"),
        postgres=PostgresStatus(accepting=True, in_recovery=False, timeline=1, version="17.11"),
        receiver=ReceiverStatus(
            state="streaming",
            sync_state="async",
            write_lag_bytes=0,
            flush_lag_bytes=0,
            connected_at=AT,
        ),
        slot=SlotStatus(name="barman", active=True, retained_bytes=0, wal_status="reserved"),
        checks=barman.checks(recorded("check-ok.json"), "pg"),
        backups=1,
        last_backup=backup,
        last_done_backup=backup,
        restorable_from=AT,
        possible_loss_bytes=0,
    )


def pooler(**changed: Any) -> PoolerStatus:
    found = PoolerStatus(answers=True, paused=False, waiting=0, longest_wait_s=0)
    return found.model_copy(update=changed)


STREAMING = ReceiverStatus(
    state="streaming", sync_state="sync", write_lag_bytes=0, flush_lag_bytes=0, connected_at=AT
)


def verdict(status: Status) -> Verdict:
    return worst(judge(status))


def test_barmans_recorded_answers_are_understood() -> None:
    checks = barman.checks(recorded("check-ok.json"), "pg")
    assert len(checks) > 15
    assert all(check.ok for check in checks)
    waiting = barman.checks(recorded("check-waiting.json"), "pg")
    assert [check.name for check in waiting if not check.ok] == ["minimum_redundancy_requirements"]
    backups = barman.backups(recorded("list-backups.json"), "pg")
    assert [backup.status for backup in backups] == ["DONE", "DONE"]
    assert backups[0].id > backups[1].id
    assert backups[0].ended_at is not None


def test_all_well_is_protected() -> None:
    assert judge(healthy()) == []
    assert verdict(healthy()).exit_code == 0


def test_a_pooler_that_lets_its_clients_in_is_protected_and_on_the_screen() -> None:
    status = healthy().model_copy(update={"pooler": pooler(waiting=3, longest_wait_s=2)})
    assert judge(status) == []
    out = io.StringIO()
    show_status(status, Console(file=out, width=120))
    assert "running, 3 clients wait" in out.getvalue()


def test_a_pooler_that_a_run_has_paused_is_resumed_by_the_run() -> None:
    run = Reason(verdict=Verdict.DEGRADED, text="a run is under way", next_command="wait for it")
    status = healthy().model_copy(update={"pooler": pooler(paused=True), "run_under_way": run})
    (paused,) = [reason for reason in judge(status) if "paused" in reason.text]
    assert paused.next_command is None


def test_unreachable_is_unprotected() -> None:
    status = healthy()
    status.barman_machine = MachineStatus(name="barman", reachable=False, error="no route")
    assert verdict(status).exit_code == 2


@pytest.mark.parametrize("part", ["slot", "receiver"])
def test_no_slot_or_receiver_is_unprotected(part: str) -> None:
    status = healthy()
    setattr(status, part, None)
    assert verdict(status) is Verdict.UNPROTECTED


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda s: setattr(s.slot, "wal_status", "lost"), Verdict.UNPROTECTED),
        (lambda s: setattr(s.slot, "wal_status", "unreserved"), Verdict.DEGRADED),
        (lambda s: setattr(s.postgres, "accepting", False), Verdict.UNPROTECTED),
        (lambda s: setattr(s.postgres, "in_recovery", True), Verdict.UNPROTECTED),
        (lambda s: setattr(s.receiver, "write_lag_bytes", 2**30), Verdict.DEGRADED),
        (lambda s: setattr(s.postgres_machine.disk, "used_bytes", 950), Verdict.DEGRADED),
        (lambda s: setattr(s.postgres_machine.disk, "mounted", False), Verdict.UNPROTECTED),
        (lambda s: setattr(s, "durability", "sync"), Verdict.UNPROTECTED),
        (lambda s: setattr(s, "failed_drill", "pg_amcheck"), Verdict.DEGRADED),
        (lambda s: setattr(s, "last_done_backup", None), Verdict.UNPROTECTED),
        (lambda s: setattr(s.last_backup, "status", "FAILED"), Verdict.DEGRADED),
        (lambda s: setattr(s.checks[3], "ok", False), Verdict.DEGRADED),
    ],
)
def test_what_each_fault_means(change, expected: Verdict) -> None:
    status = healthy()
    change(status)
    assert verdict(status) is expected


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (timedelta(days=15), Verdict.PROTECTED),
        (timedelta(days=13), Verdict.DEGRADED),
        (timedelta(seconds=-1), Verdict.UNPROTECTED),
    ],
)
def test_a_certificate_is_told_of_before_it_ends(left: timedelta, expected: Verdict) -> None:
    status = healthy()
    status.certificate_ends = status.at + left
    assert verdict(status) is expected
    commands = {reason.next_command for reason in judge(status)}
    assert commands == (set() if expected is Verdict.PROTECTED else {"python -m ops rotate tls"})


def test_another_cluster_is_named_once_with_its_own_runbook() -> None:
    status = healthy()
    for check in status.checks:
        check.ok = check.name != "systemid_coherence"
    assert [reason.next_command for reason in judge(status)] == [
        "python -m ops rebuild postgres   (if that machine is new)"
    ]


def test_worst_reason_comes_first() -> None:
    status = healthy()
    status.checks[0].ok = False
    status.slot = None
    assert [reason.verdict for reason in judge(status)] == [
        Verdict.UNPROTECTED,
        Verdict.DEGRADED,
    ]


def test_the_screen_shows_every_reason() -> None:
    status = healthy()
    status.receiver = None
    status.reasons = judge(status)
    console = Console(file=io.StringIO(), width=120)
    show_status(status, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "receiver is not connected" in shown
    assert "python -m ops rejoin" in shown


@pytest.mark.parametrize(
    ("alerts", "words"),
    [
        ([], "none fires"),
        (["DiskFull", "SlotLost"], "DiskFull, SlotLost: python -m ops alerts"),
        (None, "Alertmanager does not answer"),
    ],
)
def test_the_screen_names_the_alerts_that_fire(alerts: list[str] | None, words: str) -> None:
    status = healthy()
    status.alerts = alerts
    console = Console(file=io.StringIO(), width=120)
    show_status(status, console)
    assert words in console.file.getvalue()  # type: ignore[attr-defined]


def test_sizes_and_spans() -> None:
    assert [size(0), size(1536), size(5 * 2**30), size(2**40)] == [
        "0 B",
        "1.5 KiB",
        "5.0 GiB",
        "1.00 TiB",
    ]
    assert [span(5), span(3700), span(90000)] == ["5 s", "1 h 1 min", "1 d 1 h"]


def test_the_json_is_documented() -> None:
    assert (ROOT / "docs" / "ops-json.md").read_text() == ops_json.document()


def test_a_backup_that_was_cut_off_is_told_unless_it_still_runs() -> None:
    status = healthy()
    status.last_backup = BackupStatus(id="20260501T050000", status="STARTED", type="full")
    status.backup_running = True
    assert verdict(status) is Verdict.PROTECTED
    status.backup_running = False
    assert "20260501T050000" in judge(status)[0].text


@pytest.mark.parametrize(
    ("free", "error", "has_data", "advice"),
    [
        (2**20, "no such file", True, "make room on /data, then sudo systemctl start"),
        (2**39, "no such file", True, "sudo systemctl start"),
        (2**39, "no such file", False, "python -m ops recover"),
        (2**20, "FATAL:  the database system is in recovery mode", True, "make room"),
        (2**20, "FATAL:  sorry, too many clients already", True, "end sessions"),
        (2**39, "FATAL:  remaining connection slots are reserved for", True, "end sessions"),
        (2**39, "FATAL:  the database system is starting up", True, "python -m ops status"),
    ],
)
def test_what_brings_a_server_back_fits_why_it_is_away(
    free: int, error: str, has_data: bool, advice: str
) -> None:
    """A recovery replaces the data: it comes first only where there is none."""
    status = healthy()
    status.postgres = PostgresStatus(accepting=False, error=error, has_data=has_data)
    status.postgres_machine.disk = Disk(
        mounted=True, total_bytes=2**40, used_bytes=2**40 - free, free_bytes=free
    )
    assert (judge(status)[0].next_command or "").startswith(advice)


def test_a_run_under_way_is_said_and_nobody_is_told_to_start_the_server() -> None:
    status = healthy()
    status.postgres = PostgresStatus(accepting=False, error="no response")
    assert judge(status)[0].next_command
    status.run_under_way = Reason(
        verdict=Verdict.DEGRADED, text="a run is under way", next_command="wait for it"
    )
    down, run = judge(status)
    assert (down.verdict, down.next_command) == (Verdict.UNPROTECTED, None)
    assert run.next_command == "wait for it"


def test_times_are_in_utc_whatever_zone_they_came_in() -> None:
    vienna = timezone(timedelta(hours=1))
    assert moment(datetime(2026, 5, 1, 13, tzinfo=vienna)) == "2026-05-01 12:00:00 UTC"


@pytest.mark.parametrize(
    ("level", "said"),
    [
        (None, "guard is silent"),
        ("sync", "the durability guard runs sync, the stack asks for async"),
    ],
)
def test_the_level_is_the_one_that_the_guard_runs_at(level: str | None, said: str) -> None:
    status = healthy()
    assert judge(status) == []
    status.guard_level = level
    (reason,) = judge(status)
    assert said in reason.text
    assert reason.verdict is Verdict.DEGRADED


@pytest.mark.parametrize(
    ("seen", "expected", "said"),
    [
        ({"guard_blind": "53300 too many"}, Verdict.DEGRADED, "cannot ask PostgreSQL, and goes"),
        (
            {
                "durability": "sync-with-fallback",
                "guard_level": "sync-with-fallback",
                "fallback_after_s": 30.0,
                "guard_fallback_after_s": 600.0,
                "receiver": STREAMING,
            },
            Verdict.DEGRADED,
            "falls back after 600 s, the stack asks for 30 s",
        ),
        ({"hazards_unknown": "canceled"}, Verdict.DEGRADED, "is not known: canceled"),
        ({"undeliverable": "no route"}, Verdict.DEGRADED, "alerts cannot be delivered: no route"),
        (
            {"pooler": PoolerStatus(answers=False, error="no such file")},
            Verdict.DEGRADED,
            "the pooler does not answer: no such file",
        ),
        (
            {"pooler": pooler(error="no such user")},
            Verdict.DEGRADED,
            "cannot log in through the pooler: no such user",
        ),
        ({"pooler": pooler(paused=True)}, Verdict.DEGRADED, "is paused: its clients wait"),
        (
            # Whoever tries to log in waits behind them: not the reason.
            {"pooler": pooler(waiting=7, longest_wait_s=12, error="no answer within 15 s")},
            Verdict.DEGRADED,
            "7 clients wait for a connection through the pooler, one of them for 12 s",
        ),
        ({"missing_wal": 2}, Verdict.UNPROTECTED, "2 WAL segments are missing"),
        ({"torn_backups": ["20260501T040000"]}, Verdict.UNPROTECTED, "the newest, cannot be"),
        ({"torn_backups": ["20260430T040000"]}, Verdict.DEGRADED, "older backups cannot be"),
    ],
)
def test_each_fact_alone_is_a_reason(seen: dict[str, Any], expected: Verdict, said: str) -> None:
    (reason,) = judge(healthy().model_copy(update=seen))
    assert reason.verdict is expected
    assert said in reason.text
    assert reason.next_command
