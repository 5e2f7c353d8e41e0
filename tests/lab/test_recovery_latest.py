"""Without a target: the last commit that Barman has received, whatever happened to the server."""

import time
from pathlib import Path

from tests.lab.recovery_site import Stack, read

# A commit acknowledged this long before a crash has been received by a receiver that keeps up.
RECEIVED_WITHIN_S = 2.0


def test_latest_after_a_crash_and_the_loss_of_the_data(site: Stack, tmp_path: Path) -> None:
    site.new_ledger()
    ledger = tmp_path / "ledger"
    with site.writing(ledger):
        site.wait_for_rows(ledger, 300)
        crashed = time.time()
        site.lose_data()
    entries = read(ledger)
    (said,) = site.up.follow("data-is-gone")
    present = site.ids()
    missing = sorted(e.id for e in entries if e.id not in present)
    print(f"{len(entries)} acknowledged, {len(missing)} missing: {missing[:5]}")
    assert not [e for e in entries if e.id in missing and e.after < crashed - RECEIVED_WITHIN_S]
    assert missing == [] or missing[0] > max(present)
    assert "PROTECTED" in said
    site.assert_protected()


def test_latest_of_a_running_server_loses_nothing(site: Stack, tmp_path: Path) -> None:
    site.new_ledger()
    ledger = tmp_path / "ledger"
    with site.writing(ledger):
        site.wait_for_rows(ledger, 100)
        site.ops("recover", "--yes")
        site.wait_for_rows(ledger, len(read(ledger)) + 20)
    assert {e.id for e in read(ledger)} <= site.ids()
