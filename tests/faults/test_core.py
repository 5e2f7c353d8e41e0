"""The promises of every level. In this order the level need not be changed for a row to begin."""

import time

import pytest

from tests.faults.expectations import (
    IN_TIME_S,
    nothing_lost_nor_failed,
    protected_again,
    recorded,
    waits_then_resumes,
    went_on_alone,
)
from tests.faults.report import Report
from tests.support.site import (
    ASYNC,
    BARMAN,
    FALLBACK,
    POSTGRES,
    SYNC,
    TO_BARMAN,
    TO_POSTGRES,
    Site,
)
from tests.support.waiting import eventually
from tools.faults_page import Row

pytestmark = pytest.mark.durability


def kill_postmaster(site: Site) -> None:
    site.stack.on(POSTGRES, "kill -9 $(head -1 /data/postgresql/17/main/postmaster.pid)")
    # The kernel ends a killed server's children a moment later.
    eventually(
        "PostgreSQL to be dead",
        lambda: site.stack.on(POSTGRES, "pgrep -x postgres", check=False) == "",
        30,
    )
    site.stack.on(POSTGRES, f"systemctl stop {site.stack.unit}; systemctl start {site.stack.unit}")


def crash(site: Site, options: str) -> Row:
    row = Row("PostgreSQL kill -9", FALLBACK)
    with site.writing(8, options) as ledger:
        ledger.wait_for_more(200)
        kill_postmaster(site)
        began = time.monotonic()
        back = ledger.wait_for_more(50)
        site.until_protected()
        row.protected_after_s = time.monotonic() - began
    row.acknowledged, row.lost = len(ledger.commits), len(site.lost(ledger))
    row.seen = f"commits again {back:.1f} s after its start"
    return row


def test_postgres_killed(site: Site, report: Report) -> None:
    row = crash(site, "")
    report.rows.append(row)
    assert row.lost == 0


def test_control_postgres_killed_without_waiting_for_the_disk(site: Site, report: Report) -> None:
    row = crash(site, "-c synchronous_commit=off")
    row.fault += " (*control*: synchronous_commit=off)"
    report.rows.append(row)
    assert row.lost > 0


def test_receiver_killed(site: Site, report: Report) -> None:
    exposed = len(site.history())
    with site.writing() as ledger:
        site.stack.on(BARMAN, "pkill -9 -u barman -x pg_receivewal")
        began = time.monotonic()
        ledger.wait_for_more(100)
        site.until_protected()
        row = Row("receiver kill -9", FALLBACK, protected_after_s=time.monotonic() - began)
    row.acknowledged, row.lost = len(ledger.commits), len(site.lost(ledger))
    row.seen = f"longest commit {ledger.longest_commit():.1f} s, no fallback"
    report.rows.append(row)
    assert row.lost == 0
    assert ledger.failures == []
    events = [event["event"] for event in site.history()[exposed:]]
    assert "exposed" not in events


@pytest.mark.parametrize(
    ("name", "directions"),
    [
        ("both ways", (TO_BARMAN, TO_POSTGRES)),
        ("PostgreSQL to Barman", (TO_BARMAN,)),
        ("Barman to PostgreSQL", (TO_POSTGRES,)),
    ],
)
def test_partition(
    site: Site, report: Report, name: str, directions: tuple[tuple[str, str], ...]
) -> None:
    before = len(site.history())
    with site.writing() as ledger:
        with site.partition(*directions):
            waited = waits_then_resumes(ledger)
            ledger.wait_for_more(100)
        row = protected_again(site, ledger, f"partition, {name}")
    went_on_alone(site, ledger, row, report, waited, before)


def test_barman_away(site: Site, report: Report) -> None:
    before = len(site.history())
    with site.writing() as ledger:
        site.cut_power(BARMAN)
        resumed = waits_then_resumes(ledger)
        # The alarm, and a guard that is killed in the middle of it all.
        alarm = site.stack.on(POSTGRES, "journalctl -u durability-guard -p err -o cat -n 1")
        assert "RPO IS NOT 0" in alarm
        site.stack.on(POSTGRES, "systemctl kill -s KILL durability-guard")
        ledger.wait_for_more(100)
        site.power_on(BARMAN)
        row = protected_again(
            site, ledger, "Barman's machine loses power, away longer than the fallback time"
        )
    row.seen = f"commits waited {resumed:.1f} s, went on alone, interval recorded, alarm raised"
    nothing_lost_nor_failed(site, ledger, row, report)
    assert recorded(site, before) == ["exposed", "protected"]


def lose_the_database(site: Site, level: str) -> Row:
    """The way to Barman is cut for a moment, and in that moment the database machine is lost."""
    row = Row("database machine and its disk lost, the way to Barman cut 2 s before", level)
    with site.writing(8) as ledger:
        ledger.wait_for_more(200)
        with site.partition(TO_BARMAN, TO_POSTGRES):
            time.sleep(2.0)
            site.destroy_database()
    began = time.monotonic()
    site.recover()
    row.seen = f"restored by ops recover in {time.monotonic() - began:.0f} s"
    if level != ASYNC:
        site.until_protected()
        row.protected_after_s = time.monotonic() - began
    row.acknowledged, row.lost = len(ledger.commits), len(site.lost(ledger))
    return row


@pytest.mark.recovery
def test_database_machine_lost(site: Site, report: Report) -> None:
    row = lose_the_database(site, FALLBACK)
    report.rows.append(row)
    assert row.lost == 0


def change(site: Site, level: str, row: Row) -> None:
    """`pulumi up` to `level` under load: no commit fails, none hangs."""
    with site.writing(8) as ledger:
        ledger.wait_for_more(100)
        site.stack.set_level(level)
        ledger.wait_for_more(100)
    row.acknowledged, row.lost = len(ledger.commits), len(site.lost(ledger))
    row.seen = f"longest commit {ledger.longest_commit():.2f} s, failed {len(ledger.failures)}"
    assert ledger.failures == []
    assert ledger.longest_commit() < 3
    assert row.lost == 0


def test_level_changed_from_fallback_to_sync(site: Site, report: Report) -> None:
    row = Row("`pulumi up`: durability changed under load", f"{FALLBACK} → {SYNC}")
    change(site, SYNC, row)
    site.until_protected()
    report.rows.append(row)


@pytest.mark.level(SYNC)
def test_barman_away_at_sync(site: Site, report: Report) -> None:
    before = len(site.history())
    with site.writing() as ledger:
        site.cut_power(BARMAN)
        time.sleep(1.0)
        quiet = len(ledger.commits)
        time.sleep(2 * IN_TIME_S)
        assert len(ledger.commits) == quiet
        assert site.guard()["waiting_commits"] == ledger.clients
        site.power_on(BARMAN)
        began = time.monotonic()
        ledger.wait_for_more(100, 120)
        site.until_protected()
        row = Row(
            "Barman's machine loses power, away longer than the fallback time",
            SYNC,
            protected_after_s=time.monotonic() - began,
        )
    row.acknowledged, row.lost = len(ledger.commits), len(site.lost(ledger))
    row.seen = f"commits waited {ledger.longest_commit():.0f} s, until Barman was back"
    report.rows.append(row)
    assert row.lost == 0
    assert ledger.failures == []
    assert [event["event"] for event in site.history()[before:]] == ["waiting", "answered"]


@pytest.mark.level(SYNC)
def test_level_changed_from_sync_to_async(site: Site, report: Report) -> None:
    row = Row("`pulumi up`: durability changed under load", f"{SYNC} → {ASYNC}")
    change(site, ASYNC, row)
    report.rows.append(row)
    assert site.guard()["exposed"] == ASYNC


@pytest.mark.recovery
@pytest.mark.level(ASYNC)
def test_control_database_machine_lost(site: Site, report: Report) -> None:
    row = lose_the_database(site, ASYNC)
    row.fault += " (*control*)"
    report.rows.append(row)
    assert row.lost > 0


@pytest.mark.level(ASYNC)
def test_level_changed_from_async_to_fallback(site: Site, report: Report) -> None:
    row = Row("`pulumi up`: durability changed under load", f"{ASYNC} → {FALLBACK}")
    change(site, FALLBACK, row)
    site.until_protected()
    report.rows.append(row)
