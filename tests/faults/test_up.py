"""`pulumi up` cut off, and the Barman machine recreated by it."""

import re
import time

import pytest

from tests.faults.expectations import nothing_lost_nor_failed
from tests.faults.report import Report
from tests.support.checkout import NIGHTLY
from tests.support.site import BARMAN, FALLBACK, Site
from tools.faults_page import Row

pytestmark = [pytest.mark.provider, pytest.mark.deep]

# Something in every layer: security rules, a disk and its file system, both machines' settings.
CHANGES = {
    "postgresDiskGb": ("1150", "1150"),
    "backupSchedule": (NIGHTLY.replace("0", "30", 1), NIGHTLY),
    "fallbackAfterSeconds": ("6", "5"),
}
ANOTHER_NETWORK = ("--path", "postgres-barman:clientCidrs[1]")
BEGUN = re.compile(r"^ *[~+@-]+ +(\S+ \S+) (?:updating|creating|replacing)")


def cut_off(site: Site, at: set[str]) -> bool:
    """One `pulumi up`, killed as soon as it begins with a resource that is not in `at` yet, which
    is added; False when there was none, and it went through."""
    running = site.stack.start_pulumi("up", "--yes", "--skip-preview", "--non-interactive")
    assert running.stdout is not None
    said = ""
    for line in running.stdout:
        said += line
        begun = BEGUN.search(line)
        if begun and begun[1] not in at:
            at.add(begun[1])
            site.stack.kill_engines()
            running.communicate()
            site.stack.pulumi("cancel", "--yes")
            return True
    running.wait()
    assert running.returncode == 0, said
    return False


def test_up_interrupted_at_every_resource(site: Site, report: Report) -> None:
    row = Row("`pulumi up` killed at every resource that it changes, then run again", FALLBACK)
    at: set[str] = set()
    for name, (changed, _) in CHANGES.items():
        site.stack.set(name, changed)
    site.stack.pulumi("config", "set", *ANOTHER_NETWORK, "10.31.0.0/24")
    try:
        with site.writing() as ledger:
            while cut_off(site, at):
                ledger.wait_for_more(20)
            began = time.monotonic()
            site.until_protected()
            row.protected_after_s = time.monotonic() - began
            site.stack.pulumi("preview", "--expect-no-changes", "--non-interactive")
            ledger.wait_for_more(50)
    finally:
        for name, (_, before) in CHANGES.items():
            site.stack.set(name, before)
        site.stack.pulumi("config", "rm", *ANOTHER_NETWORK)
        site.stack.up()
    row.seen = f"killed {len(at)} times; the last run finishes, no commit failed"
    nothing_lost_nor_failed(site, ledger, row, report)
    assert {"postgres-configure", "backup-join"} <= {name.split(" ")[1] for name in at}
    site.stack.until_content()


@pytest.mark.recovery
def test_barman_machine_lost(site: Site, report: Report) -> None:
    before = len(site.history())
    row = Row("Barman's machine and its disk lost, rebuilt as its page says", FALLBACK)
    with site.writing() as ledger:
        site.stack.lose(BARMAN)
        began = time.monotonic()
        (*_, said) = site.stack.follow("backup-machine-is-gone")
        site.until_protected()
        row.protected_after_s = time.monotonic() - began
        ledger.wait_for_more(50)
    assert "PROTECTED" in said
    row.seen = f"commits waited {ledger.longest_commit():.1f} s, went on alone, interval recorded"
    nothing_lost_nor_failed(site, ledger, row, report)
    assert "exposed" in [event["event"] for event in site.history()[before:]]
    site.stack.until_content()
