"""A recovery to a point after an earlier recovery, and back again."""

import time
from pathlib import Path

from tests.lab.recovery_site import Entry, Stack


def test_after_a_recovery_forward_again_and_undone(site: Stack, tmp_path: Path) -> None:
    site.new_ledger()
    entries = site.write_for(tmp_path / "ledger", 1.0)
    more: list[Entry] = []

    def the_change_goes_wrong() -> None:
        more.extend(site.write_for(tmp_path / "more", 1.0))
        time.sleep(1.0)

    site.up.follow("before-a-risky-change", after={1: the_change_goes_wrong})
    site.assert_protected()
    assert site.ids() == {e.id for e in entries}
    site.up.follow("undo-a-recovery")
    assert site.ids() == {e.id for e in entries + more}
    site.assert_protected()
