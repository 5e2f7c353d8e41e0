"""Connections that are there for one side only."""

import pytest

from lab.machines import machine
from tests.faults.expectations import protected_again, waits_then_resumes, went_on_alone
from tests.faults.report import Report
from tests.support.site import BARMAN, TO_BARMAN, TO_POSTGRES, Site

pytestmark = pytest.mark.durability


@pytest.mark.deep
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
        row = protected_again(site, ledger, "half-open connections")
    went_on_alone(site, ledger, row, report, waited, before)


@pytest.mark.deep
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
        row = protected_again(site, ledger, "Barman's machine freezes, its connections stay")
    went_on_alone(site, ledger, row, report, waited, before)
