"""A disk without a free block, on either machine."""

import time

import pytest

from tests.faults.expectations import (
    IN_TIME_S,
    nothing_lost,
    nothing_lost_nor_failed,
    protected_again,
    recorded,
)
from tests.faults.report import Report
from tests.support.site import BARMAN, FALLBACK, POSTGRES, Site
from tests.support.waiting import eventually
from tools.faults_page import Row

pytestmark = pytest.mark.durability

MIB = 2**20
# Enough to need new segments, wherever WAL stands now.
FILLING = f"SELECT pg_logical_emit_message(false, 'fault', repeat('x', {40 * MIB}))"


def wrote(site: Site) -> bool:
    """Whether PostgreSQL could write WAL into new segments, and is still there."""
    command = f'cd /; runuser -u postgres -- psql -XAtq -c "{FILLING}; SELECT 1"'
    return site.stack.on(POSTGRES, command, check=False).endswith("1")


def test_barmans_disk_full(site: Site, report: Report) -> None:
    before = len(site.history())
    with site.writing() as ledger:
        with site.full(BARMAN):
            site.stack.sql(FILLING)
            eventually(
                "commits to go on without Barman",
                lambda: site.history()[-1].get("reason") == "fallback",
                IN_TIME_S + 60,
            )
            ledger.wait_for_more(100)
            assert f"/data on {BARMAN} is 100 % full" in site.stack.reasons()
        row = protected_again(site, ledger, "Barman's disk full")
    row.seen = (
        f"commits waited {ledger.longest_commit():.1f} s, went on alone, interval recorded; "
        "status names the disk; goes on by itself once there is room"
    )
    nothing_lost_nor_failed(site, ledger, row, report)
    assert recorded(site, before) == ["exposed", "protected"]
    site.stack.until_content()


def test_postgres_disk_full(site: Site, report: Report) -> None:
    with site.writing() as ledger:
        with site.full(POSTGRES):
            eventually("PostgreSQL to be without WAL", lambda: not wrote(site), 120)
            eventually("a commit to fail", lambda: bool(ledger.failures), 60)
            output = site.stack.reasons()
            assert f"/data on {POSTGRES} is 100 % full" in output
            assert "make room" in output
        began = time.monotonic()
        site.stack.on(POSTGRES, f"systemctl start {site.stack.unit}")
        ledger.wait_for_more(100, 120)
        site.until_protected()
        row = Row("PostgreSQL's disk full", FALLBACK)
        row.protected_after_s = time.monotonic() - began
    row.seen = "no commit is acknowledged; status names the disk; goes on once there is room"
    nothing_lost(site, ledger, row, report)
    site.stack.until_content()
