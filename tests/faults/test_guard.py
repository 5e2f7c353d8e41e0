"""Faults of the guard itself, and of its machine, while it is needed most."""

import time

import pytest

from tests.faults.expectations import (
    nothing_lost,
    nothing_lost_nor_failed,
    protected_again,
    recorded,
    waits_then_resumes,
)
from tests.faults.report import Report
from tests.support.guard import shut_out
from tests.support.site import BARMAN, POSTGRES, TO_BARMAN, TO_POSTGRES, Site

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
        row = protected_again(site, ledger, "guard hangs (SIGSTOP), then partition, both ways")
    row.seen = f"its watchdog restarts it; commits waited {waited:.1f} s, interval recorded"
    nothing_lost_nor_failed(site, ledger, row, report)
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
        row = protected_again(
            site, ledger, "database machine loses power, not its disk, during a fallback"
        )
    row.seen = (
        f"commits again {back:.0f} s after power-on, still without Barman; then synchronous again"
    )
    nothing_lost(site, ledger, row, report)
    assert recorded(site, before) == ["exposed", "protected"]


def test_checkpointer_hangs_while_barman_is_away(site: Site, report: Report) -> None:
    """Sessions know from the checkpointer whether their commits have to wait: the setting that the
    guard has taken out, and sees to be out, lets nobody go."""
    before = len(site.history())
    checkpointer = "pgrep -u postgres -f ': checkpointer'"
    with site.writing() as ledger:
        site.stack.on(POSTGRES, f"kill -STOP $({checkpointer})")
        try:
            with site.partition(TO_BARMAN, TO_POSTGRES):
                waited = waits_then_resumes(ledger)
                ledger.wait_for_more(5, 60)
        finally:
            site.stack.on(POSTGRES, f"kill -CONT $({checkpointer})")
        row = protected_again(
            site, ledger, "checkpointer hangs (SIGSTOP), then partition, both ways"
        )
    row.seen = f"waits are cancelled one by one; commits waited {waited:.1f} s, interval recorded"
    nothing_lost_nor_failed(site, ledger, row, report)
    assert recorded(site, before) == ["exposed", "protected"]


def test_guard_killed_before_postgresql_reloads(site: Site, report: Report) -> None:
    """Both ways: the name is in the file and commits do not wait, and the other way round."""
    file = f"{site.stack.configuration}/conf.d/durability.conf"
    name = "synchronous_standby_names = 'barman_receive_wal'"
    with site.writing() as ledger:
        for text, loaded in ((name, ""), ("", name)):
            site.stack.on(
                POSTGRES,
                "systemctl stop durability-guard; "
                f'echo "{loaded}" >{file}; systemctl reload {site.stack.unit}; sleep 1; '
                f'echo "{text}" >{file}; systemctl start durability-guard',
            )
            row = protected_again(site, ledger, "guard killed between its write and the reload")
    row.seen = "the next one has PostgreSQL read the file, and proves that commits wait"
    nothing_lost_nor_failed(site, ledger, row, report)


def test_guard_is_shut_out_while_barman_is_away(site: Site, report: Report) -> None:
    """It cannot ask PostgreSQL, which goes on serving everybody else."""
    before = len(site.history())
    with site.writing() as ledger:
        with shut_out(site.stack):
            with site.partition(TO_BARMAN, TO_POSTGRES):
                waited = waits_then_resumes(ledger)
                ledger.wait_for_more(50)
            assert site.stack.ops("status", check=False).returncode != 0
        row = protected_again(
            site, ledger, "guard is shut out (pg_hba.conf), then partition, both ways"
        )
    row.seen = (
        f"it goes by what PostgreSQL's processes show; commits waited {waited:.1f} s, interval "
        "recorded"
    )
    nothing_lost_nor_failed(site, ledger, row, report)
    assert recorded(site, before) == ["exposed", "protected"]
