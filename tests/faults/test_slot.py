"""The slot that keeps WAL for Barman, dropped; `ops rejoin` mends it."""

import time

import pytest

from tests.faults.expectations import nothing_lost, recorded, waits_then_resumes
from tests.faults.ledger import Ledger
from tests.faults.report import Report, Row
from tests.faults.site import FALLBACK, Site
from tests.waiting import eventually

DROP = """
SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active;
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active;
SELECT count(*) FROM pg_replication_slots;
"""


def rejoined(site: Site, ledger: Ledger, row: Row) -> None:
    """The runbook that the status names, under load."""
    ledger.wait_for_more(50)
    told = site.status()
    assert told["verdict"] == "unprotected"
    assert "python -m ops rejoin" in [reason["next_command"] for reason in told["reasons"]]
    began = time.monotonic()
    site.stack.ops("rejoin")
    site.until_protected()
    row.protected_after_s = time.monotonic() - began
    ledger.wait_for_more(50)


@pytest.mark.core
def test_slot_dropped(site: Site, report: Report) -> None:
    before = len(site.history())
    row = Row("slot dropped", FALLBACK)
    with site.writing() as ledger:
        eventually("the slot to be dropped", lambda: site.stack.sql(DROP)[-1] == "0")
        waited = waits_then_resumes(ledger)
        rejoined(site, ledger, row)
    row.seen = (
        f"commits waited {waited:.1f} s, went on alone, interval recorded; status names ops rejoin"
    )
    nothing_lost(site, ledger, row, report)
    assert ledger.failures == []
    assert recorded(site, before) == ["exposed", "protected"]
    site.until_content()
