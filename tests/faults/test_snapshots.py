"""Local snapshots that are cut off, or gone when they are needed."""

import time

import pytest

from tests.faults.expectations import nothing_lost
from tests.faults.report import Report
from tests.support.running import wait_for
from tests.support.site import FALLBACK, POSTGRES, Site
from tests.support.waiting import eventually
from tools.faults_page import Row

pytestmark = [pytest.mark.recovery, pytest.mark.deep]

FOLDER = "/data/snapshots"
ONE_AFTER_ANOTHER = (
    "systemd-run --quiet --collect --unit=snapshots-without-end --uid=postgres "
    "sh -c 'while :; do local-snapshots take; sleep 0.2; done'"
)


def test_power_cut_while_snapshots_are_taken(site: Site, report: Report) -> None:
    row = Row("database machine loses power while snapshots are taken one after another", FALLBACK)
    with site.writing() as ledger:
        site.on_postgres(ONE_AFTER_ANOTHER)
        complete = f"ls {FOLDER}/*/snapshot.json 2>/dev/null | wc -l"
        eventually("some to be complete", lambda: int(site.on_postgres(complete)) > 2)
        ledger.wait_for_more(100)
        site.cut_power(POSTGRES)
        site.power_on(POSTGRES)
        began = time.monotonic()
        ledger.wait_for_more(50, 90)
        site.until_protected()
        row.protected_after_s = time.monotonic() - began
    found = site.on_postgres(f"cd {FOLDER}; ls */snapshot.json | wc -l; ls | wc -l").split()
    assert found[0] == found[1] != "0", "what was cut off is removed"
    said = site.recover()
    assert "from local snapshot-" in " ".join(said.split())
    row.seen = "the server starts as ever; a recovery begins with the newest that was complete"
    nothing_lost(site, ledger, row, report)
    site.on_postgres(f"rm -r {FOLDER}/*")
    site.stack.until_content()


def test_snapshot_gone_when_the_recovery_comes_to_it(site: Site, report: Report) -> None:
    row = Row("the snapshot that a recovery was to begin with is gone", FALLBACK)
    site.stack.new_backup()
    with site.writing() as ledger:
        ledger.wait_for_more(50)
        name = site.stack.ops("snapshot").stdout.partition(":")[0]
        ledger.wait_for_more(50)
    began = time.monotonic()
    running = site.stack.start_ops("recover", "--yes")
    wait_for(running, 1)
    site.on_postgres(f"rm -r {FOLDER}/{name}")
    rest, complaint = running.communicate(timeout=600)
    said = " ".join((rest + (complaint or "")).split())
    assert running.returncode == 2, said
    assert f"there is no {name} any more" in said
    assert "--backup-id 2" in said, "the next command names Barman's backup"
    assert site.lost(ledger) == set(), "everything was put back"
    site.recover()
    site.until_protected()
    row.protected_after_s = time.monotonic() - began
    row.seen = (
        "the recovery stops and says so; everything is put back; with Barman's backup it ends well"
    )
    nothing_lost(site, ledger, row, report)
    site.stack.until_content()
