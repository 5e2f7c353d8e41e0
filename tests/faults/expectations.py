"""What every fault that takes Barman away has in common."""

import time

from tests.faults.report import Report
from tests.support.ledger import Ledger
from tests.support.site import FALLBACK, FALLBACK_AFTER_S, SLACK_S, Site
from tests.support.waiting import eventually
from tools.faults_page import Row

IN_TIME_S = FALLBACK_AFTER_S + SLACK_S


def waits_then_resumes(ledger: Ledger, later_s: float = 0.0) -> float:
    """Commits stop for the fallback time, and `later_s`, and no longer; how long."""
    began = time.monotonic()
    # Those on their way when the fault struck may still come back.
    time.sleep(1.0)
    quiet = time.monotonic()
    eventually(
        "commits to go on without Barman",
        lambda: bool(ledger.commits) and ledger.commits[-1].acknowledged > quiet,
        IN_TIME_S + later_s + 20,
    )
    resumed = ledger.commits[-1].acknowledged
    waited = ledger.longest_commit()
    assert ledger.acknowledged_between(quiet, began + FALLBACK_AFTER_S - 1.0) == 0
    assert resumed - began <= IN_TIME_S + later_s
    return waited


def nothing_lost(site: Site, ledger: Ledger, row: Row, report: Report) -> None:
    """Compare the ledger with the database, and put the row into the report."""
    row.acknowledged, row.lost = len(ledger.commits), len(site.lost(ledger))
    report.rows.append(row)
    assert row.lost == 0


def nothing_lost_nor_failed(site: Site, ledger: Ledger, row: Row, report: Report) -> None:
    """The same, and clients noticed nothing but a wait."""
    nothing_lost(site, ledger, row, report)
    assert ledger.failures == [], ledger.failures


def protected_again(site: Site, ledger: Ledger, fault: str) -> Row:
    """Wait until commits wait for Barman, and go on; the row of `fault`, with the time it took."""
    row = Row(fault, FALLBACK, protected_after_s=site.until_protected())
    ledger.wait_for_more(50)
    return row


def went_on_alone(
    site: Site, ledger: Ledger, row: Row, report: Report, waited: float, before: int
) -> None:
    """Commits waited `waited` seconds, then went on; the guard's history since event `before` says
    when the RPO was not 0; no commit failed and none is lost."""
    row.seen = f"commits waited {waited:.1f} s, went on alone, interval recorded"
    nothing_lost_nor_failed(site, ledger, row, report)
    assert recorded(site, before) == ["exposed", "protected"]


def recorded(site: Site, before: int) -> list[str]:
    """Beginning and end of the interval in which the RPO was not 0, and its reason."""
    events = [
        event for event in site.history()[before:] if event["event"] in ("exposed", "protected")
    ]
    assert events[0]["reason"] == "fallback"
    assert events[0]["lsn"] != events[-1]["lsn"]
    assert events[-1].get("seconds", 1) > 0
    return [event["event"] for event in events]
