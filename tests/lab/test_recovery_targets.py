"""Every kind of target, on the timeline that was current and on one that was left since."""

import time
from dataclasses import dataclass

import pytest

from tests.support.ledger import Commit, moment
from tests.support.site import Site

pytestmark = pytest.mark.recovery


def surely(entries: list[Commit], at: float) -> tuple[set[int], set[int]]:
    """Ids committed before `at` for sure, and after it for sure."""
    return {e.id for e in entries if e.after <= at}, {e.id for e in entries if e.before > at}


@dataclass(frozen=True)
class History:
    """Some seconds of writing and then a DROP TABLE, on `timeline`."""

    entries: list[Commit]
    dropped: float
    timeline: int
    xid: int
    lsn: str
    middle: float


@pytest.fixture(scope="module")
def history(site: Site) -> History:
    site.new_ledger()
    entries = site.write_for(3.0)
    time.sleep(0.5)
    middle = time.time()
    # One row more and no others around it: what these three name is known exactly.
    xid = int(site.sql("INSERT INTO ledger VALUES (-1); SELECT pg_current_xact_id()").split()[-1])
    lsn = site.sql("SELECT pg_current_wal_insert_lsn()")
    site.stack.ops("restore-point", "middle")
    time.sleep(0.5)
    entries += site.write_for(3.0)
    time.sleep(1.0)
    dropped = time.time()
    site.sql("DROP TABLE ledger")
    time.sleep(0.5)
    site.sql("CREATE TABLE afterwards (i int)")
    timeline = int(site.sql("SELECT timeline_id FROM pg_control_checkpoint()"))
    return History(entries, dropped, timeline, xid, lsn, middle)


@pytest.mark.parametrize("where", ["early", "late", "seconds before the drop"])
def test_a_moment(site: Site, history: History, where: str) -> None:
    first, last = history.entries[0].before, history.entries[-1].after
    at = {
        "early": first + 0.2 * (last - first),
        "late": first + 0.8 * (last - first),
        "seconds before the drop": history.dropped - 0.5,
    }[where]
    if where == "early":
        site.stack.follow("bad-data-everywhere", {"2026-05-01 14:29:00+00:00": moment(at)})
    else:
        # Now the moment lies on an older timeline than the newest.
        site.recover("--target-time", moment(at), "--timeline", str(history.timeline))
    site.stack.assert_protected()
    before, after = surely(history.entries, at)
    assert before <= site.ids()
    assert not after & site.ids()


@pytest.mark.parametrize("kind", ["xid", "lsn", "name"])
def test_a_transaction_a_position_a_name(site: Site, history: History, kind: str) -> None:
    value = {"xid": str(history.xid), "lsn": history.lsn, "name": "middle"}[kind]
    site.recover(f"--target-{kind}", value, "--timeline", str(history.timeline))
    site.stack.assert_protected()
    before, after = surely(history.entries, history.middle)
    assert site.ids() == before | {-1}
    assert after


def test_a_moment_on_an_abandoned_timeline_is_refused_without_its_number(
    site: Site, history: History
) -> None:
    done = site.stack.ops("recover", "--target-time", moment(history.dropped), "--yes", check=False)
    assert done.returncode == 2
    assert f"--timeline {history.timeline}" in done.stderr
    site.stack.assert_protected()
