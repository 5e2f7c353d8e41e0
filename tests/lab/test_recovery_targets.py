"""Every kind of target, on the timeline that was current and on one that was left since."""

import json
import time
from dataclasses import dataclass
from datetime import datetime

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
    # Not the one that is meant, but the first of that name.
    site.stack.ops("restore-point", "middle")
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


@pytest.mark.parametrize("where", ["early", pytest.param("late", marks=pytest.mark.deep)])
def test_a_moment(site: Site, history: History, where: str) -> None:
    first, last = history.entries[0].before, history.entries[-1].after
    at = first + {"early": 0.2, "late": 0.8}[where] * (last - first)
    if where == "early":
        site.stack.follow("bad-data-everywhere", {"2026-05-01 14:29:00+00:00": moment(at)})
    else:
        # Now the moment lies on an older timeline than the newest.
        site.recover("--target-time", moment(at), "--timeline", str(history.timeline))
    site.stack.assert_protected()
    before, after = surely(history.entries, at)
    assert before <= site.ids()
    assert not after & site.ids()


def test_the_server_goes_on_while_the_copy_is_checked(site: Site, history: History) -> None:
    """From the step that stops the old server on clients wait; before it they do not notice."""
    at = history.dropped - 0.5
    moment_of = ["--target-time", moment(at), "--timeline", str(history.timeline)]
    site.new_ledger()
    written: dict[str, int] = {}
    with site.writing(1) as ledger:
        running = site.stack.start_ops("recover", "--while-serving", "--yes", *moment_of)
        assert running.stdout is not None
        said = ""
        for line in running.stdout:
            said += line
            if line.startswith("["):
                written[line.split("] ")[1].strip()] = len(ledger.commits)
        assert running.wait() == 0, said
    assert 0 < written["Restore the backup"] < written["Verify"] < written["Pause Barman's cron"]
    assert "until the old server stops" in " ".join(said.split())
    site.stack.assert_protected()
    before, after = surely(history.entries, at)
    assert before <= site.ids()
    assert not after & site.ids()


def test_the_server_cannot_go_on_where_the_last_commit_is_wanted(site: Site) -> None:
    assert "needs a target in the past" in site.refused("--while-serving")


def test_a_transaction(site: Site, history: History) -> None:
    site.recover("--target-xid", str(history.xid), "--timeline", str(history.timeline))
    site.stack.assert_protected()
    before, after = surely(history.entries, history.middle)
    assert site.ids() == before | {-1}
    assert after


@pytest.mark.parametrize("kind", ["lsn", "name"])
def test_a_position_and_a_name(site: Site, history: History, kind: str) -> None:
    """In a clone, which is brought back as a recovery is, in less time."""
    value = {"lsn": history.lsn, "name": "middle"}[kind]
    site.stack.ops("clone", f"--target-{kind}", value, "--timeline", str(history.timeline))
    found = {int(line) for line in site.in_clone("SELECT id FROM ledger").split()}
    site.stack.ops("clone", "--drop")
    assert found == surely(history.entries, history.middle)[0] | {-1}


def test_the_window_goes_on_behind_a_bulk_load(site: Site) -> None:
    """Whatever is written without a commit: what was committed before it can be restored."""
    site.on_postgres("systemctl stop heartbeat")
    site.new_ledger()
    try:
        (*_, last) = site.write_for(0.2)
        site.sql(
            "SELECT pg_logical_emit_message(false, 'bulk', repeat('x', 8000000)) "
            "FROM generate_series(1, 20)"
        )
        site.stack.archived_segment()
        found = json.loads(site.stack.ops("window", "--json").stdout)["intervals"]
        (current,) = (each for each in found if each["current"])
        assert datetime.fromisoformat(current["ends"]).timestamp() >= last.before
    finally:
        site.on_postgres("systemctl start heartbeat")


def test_a_moment_on_an_abandoned_timeline_is_refused_without_its_number(
    site: Site, history: History
) -> None:
    done = site.stack.ops("recover", "--target-time", moment(history.dropped), "--yes", check=False)
    assert done.returncode == 2
    assert f"--timeline {history.timeline}" in done.stderr
    site.stack.assert_protected()
