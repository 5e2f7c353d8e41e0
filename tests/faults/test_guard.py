"""Faults of the guard itself, and of its machine, while it is needed most."""

import time

import pytest

from tests.faults.expectations import recorded, waits_then_resumes
from tests.faults.report import Report
from tests.support.site import BARMAN, FALLBACK, POSTGRES, TO_BARMAN, TO_POSTGRES, Site
from tools.faults_page import Row

pytestmark = pytest.mark.durability

# systemd's WatchdogSec for the guard.
WATCHDOG_S = 20


def test_guard_hangs_while_barman_is_away(site: Site, report: Report) -> None:
    before = len(site.history())
    with site.writing() as ledger:
        site.stack.on(POSTGRES, "systemctl kill -s STOP durability-guard")
        with site.partition(TO_BARMAN, TO_POSTGRES):
            waited = waits_then_resumes(ledger, WATCHDOG_S)
            ledger.wait_for_more(50)
        began = time.monotonic()
        site.until_protected()
        row = Row("guard hangs (SIGSTOP), then partition, both ways", FALLBACK)
        row.protected_after_s = time.monotonic() - began
    row.acknowledged, row.lost = len(ledger.commits), len(site.lost(ledger))
    row.seen = f"its watchdog restarts it; commits waited {waited:.1f} s, interval recorded"
    report.rows.append(row)
    assert row.lost == 0
    assert ledger.failures == []
    assert recorded(site, before) == ["exposed", "protected"]


def test_database_machine_loses_power_during_a_fallback(site: Site, report: Report) -> None:
    before = len(site.history())
    with site.writing() as ledger:
        site.cut_power(BARMAN)
        waits_then_resumes(ledger)
        ledger.wait_for_more(100)
        site.cut_power(POSTGRES)
        site.power_on(POSTGRES)
        began = time.monotonic()
        ledger.wait_for_more(100, 60)
        back = time.monotonic() - began
        site.power_on(BARMAN)
        began = time.monotonic()
        site.until_protected()
        row = Row("database machine loses power, not its disk, during a fallback", FALLBACK)
        row.protected_after_s = time.monotonic() - began
    row.acknowledged, row.lost = len(ledger.commits), len(site.lost(ledger))
    row.seen = (
        f"commits again {back:.0f} s after power-on, still without Barman; then synchronous again"
    )
    report.rows.append(row)
    assert row.lost == 0
    assert recorded(site, before) == ["exposed", "protected"]
