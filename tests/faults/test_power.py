"""Power cuts that leave the disks: what was forced to them is all that is left."""

import time

import pytest

from tests.faults.expectations import nothing_lost
from tests.faults.report import Report
from tests.support.site import BARMAN, FALLBACK, POSTGRES, Site
from tests.support.waiting import eventually
from tools.faults_page import Row

pytestmark = [pytest.mark.durability, pytest.mark.deep]


def accepting(site: Site) -> bool:
    try:
        return site.stack.sql("SELECT 1") == "1"
    except Exception:  # whatever psql or a booting machine says
        return False


@pytest.mark.parametrize(
    ("fault", "machines", "back_within_s"),
    [
        ("database machine loses power, not its disk", (POSTGRES,), 90),
        ("both machines lose power, not their disks", (POSTGRES, BARMAN), 120),
    ],
    ids=["database machine", "both"],
)
def test_power_cut(
    site: Site, report: Report, fault: str, machines: tuple[str, ...], back_within_s: float
) -> None:
    row = Row(fault, FALLBACK)
    with site.writing(8) as ledger:
        ledger.wait_for_more(200)
        for machine in machines:
            site.cut_power(machine)
        for machine in reversed(machines):
            site.power_on(machine)
        began = time.monotonic()
        ledger.wait_for_more(50, back_within_s)
        row.seen = f"commits again {time.monotonic() - began:.1f} s after power-on"
        site.until_protected()
        row.protected_after_s = time.monotonic() - began
    nothing_lost(site, ledger, row, report)
    site.stack.until_content()


def test_control_database_machine_loses_power_and_nothing_was_forced(
    site: Site, report: Report
) -> None:
    """The server that comes back has lost commits; Barman, away meanwhile, has them all."""
    row = Row("database machine loses power, not its disk (*control*: fsync=off)", FALLBACK)
    site.stack.sql("ALTER SYSTEM SET fsync = off")
    site.stack.sql("SELECT pg_reload_conf()")
    site.stack.sql("CHECKPOINT")
    site.stack.on(POSTGRES, "sync")
    try:
        with site.writing(8) as ledger:
            ledger.wait_for_more(200)
            site.cut_power(POSTGRES)
            # Or it would follow a server that lacks what it holds.
            site.cut_power(BARMAN)
        site.power_on(POSTGRES)
        eventually("PostgreSQL to be up again", lambda: accepting(site), 90)
        row.acknowledged, row.lost = len(ledger.commits), len(site.lost(ledger))
    finally:
        site.destroy_database()
        site.power_on(BARMAN)
        began = time.monotonic()
        site.recover()
    site.until_protected()
    row.protected_after_s = time.monotonic() - began
    row.seen = "commits are missing in the database; ops recover brings all of them from Barman"
    report.rows.append(row)
    assert row.lost > 0
    assert site.lost(ledger) == set()
    assert site.stack.sql("SHOW fsync") == "on"
    site.stack.until_content()
