"""Connections that are there for one side only."""

import time

import pytest

from lab import machine
from tests.faults.expectations import nothing_lost, recorded, waits_then_resumes
from tests.faults.report import Report, Row
from tests.faults.site import BARMAN, FALLBACK, TO_BARMAN, TO_POSTGRES, Site


@pytest.mark.thorough
def test_half_open_connection(site: Site, report: Report) -> None:
    """The receiver dies behind a partition: PostgreSQL keeps its connection, and the slot taken."""
    before = len(site.history())
    with site.writing() as ledger:
        with site.partition(TO_BARMAN, TO_POSTGRES):
            site.stack.on(BARMAN, "pkill -9 -u barman -x pg_receivewal")
            waited = waits_then_resumes(ledger)
            # Half open: nobody is at the other end, and PostgreSQL does not know.
            assert site.stack.sql("SELECT active FROM pg_replication_slots") == "t"
            running = site.stack.on(BARMAN, "pgrep -x pg_receivewal", check=False)
            assert running == ""
        began = time.monotonic()
        site.until_protected()
        row = Row("half-open connections", FALLBACK)
        row.protected_after_s = time.monotonic() - began
        ledger.wait_for_more(50)
    row.seen = f"commits waited {waited:.1f} s, went on alone, interval recorded"
    nothing_lost(site, ledger, row, report)
    assert ledger.failures == []
    assert recorded(site, before) == ["exposed", "protected"]


@pytest.mark.thorough
def test_barmans_machine_freezes(site: Site, report: Report) -> None:
    """Its connections stay, the kernel answers for it, but nothing is confirmed any more."""
    before = len(site.history())
    lab = site.stack.lab
    with site.writing() as ledger:
        machine.freeze(lab, BARMAN)
        try:
            waited = waits_then_resumes(ledger)
            assert site.stack.sql("SELECT active FROM pg_replication_slots") == "t"
        finally:
            machine.thaw(lab, BARMAN)
        began = time.monotonic()
        site.until_protected()
        row = Row("Barman's machine freezes, its connections stay", FALLBACK)
        row.protected_after_s = time.monotonic() - began
        ledger.wait_for_more(50)
    row.seen = f"commits waited {waited:.1f} s, went on alone, interval recorded"
    nothing_lost(site, ledger, row, report)
    assert ledger.failures == []
    assert recorded(site, before) == ["exposed", "protected"]
