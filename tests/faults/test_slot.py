"""The slot that keeps WAL for Barman, lost in two ways; `ops rejoin` fixes both."""

import time

import pytest

from tests.faults.expectations import nothing_lost_nor_failed, recorded, waits_then_resumes
from tests.faults.report import Report
from tests.support.ledger import Ledger
from tests.support.site import BARMAN, FALLBACK, Site
from tests.support.waiting import eventually
from tools.faults_page import Row

pytestmark = pytest.mark.durability

DROP = """
SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active;
SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active;
SELECT count(*) FROM pg_replication_slots;
"""
# Twice what the slot may keep.
WRITE = "SELECT pg_switch_wal(), pg_logical_emit_message(false, 'fault', repeat('x', 33554432))"


def rejoined(site: Site, ledger: Ledger, row: Row) -> None:
    """The runbook that the status names, under load."""
    ledger.wait_for_more(50)
    output = site.stack.status()
    assert output["verdict"] == "unprotected"
    assert "python -m ops rejoin" in [reason["next_command"] for reason in output["reasons"]]
    began = time.monotonic()
    site.stack.ops("rejoin")
    site.until_protected()
    row.protected_after_s = time.monotonic() - began
    ledger.wait_for_more(50)


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
    nothing_lost_nor_failed(site, ledger, row, report)
    assert recorded(site, before) == ["exposed", "protected"]
    site.stack.until_content()


@pytest.mark.deep
def test_slot_invalidated(site: Site, report: Report) -> None:
    before = len(site.history())
    row = Row("slot invalidated by a small max_slot_wal_keep_size", FALLBACK)
    site.stack.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '16MB'")
    site.stack.sql("SELECT pg_reload_conf()")
    try:
        with site.writing() as ledger:
            site.cut_power(BARMAN)
            waits_then_resumes(ledger)
            for _ in range(3):
                site.stack.sql(WRITE)
            site.stack.sql("CHECKPOINT")
            assert site.stack.sql("SELECT wal_status FROM pg_replication_slots") == "lost"
            site.power_on(BARMAN)
            eventually(
                "the status to know", lambda: "has lost WAL" in site.stack.reasons(), timeout_s=120
            )
            rejoined(site, ledger, row)
    finally:
        site.stack.sql("ALTER SYSTEM RESET max_slot_wal_keep_size")
        site.stack.sql("SELECT pg_reload_conf()")
    row.seen = (
        "PostgreSQL's disk kept free, commits went on; the gap shows in ops window, "
        "status names ops rejoin"
    )
    nothing_lost_nor_failed(site, ledger, row, report)
    assert recorded(site, before) == ["exposed", "protected"]
    assert "gap before it" in site.stack.ops("window").stdout
    site.stack.until_content()
