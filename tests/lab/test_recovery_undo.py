"""A second recovery after the first, and back again."""

import time
from pathlib import Path

from tests.lab.recovery_site import Stack, moment


def test_after_a_recovery_forward_again_and_undone(site: Stack, tmp_path: Path) -> None:
    site.new_ledger()
    entries = site.write_for(tmp_path / "ledger", 1.0)
    time.sleep(1.0)
    after_first = time.time()
    time.sleep(1.0)
    more = site.write_for(tmp_path / "more", 1.0)
    time.sleep(1.0)
    site.recover("--target-time", moment(after_first))
    assert site.ids() == {e.id for e in entries}
    site.ops("undo", "--yes")
    assert site.ids() == {e.id for e in entries + more}
    site.assert_protected()
