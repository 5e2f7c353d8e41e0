"""A recovery to a point after an earlier recovery, and back again."""

import time

import pytest

from tests.support.ledger import Commit
from tests.support.site import Site

pytestmark = pytest.mark.recovery


def test_after_a_recovery_forward_again_and_undone(site: Site) -> None:
    site.new_ledger()
    entries = site.write_for(1.0)
    more: list[Commit] = []

    def the_change_goes_wrong() -> None:
        more.extend(site.write_for(1.0))
        time.sleep(1.0)

    site.stack.follow("before-a-risky-change", after={1: the_change_goes_wrong})
    site.stack.assert_protected()
    assert site.ids() == {e.id for e in entries}
    plan = site.stack.ops("undo", "--dry-run").stdout
    for words in ("the server as it was before that, stopped at", "Put it in place of the old"):
        assert words in plan
    site.stack.follow("undo-a-recovery")
    assert site.ids() == {e.id for e in entries + more}
    site.stack.assert_protected()
