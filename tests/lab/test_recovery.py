"""The data comes back: every kind of target, twice in a row, undone, interrupted."""

import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab import conftest
from tests.lab.recovery_site import Entry, Stack, moment, read, with_writer

# A commit acknowledged this long before a crash has been received by a receiver that keeps up.
RECEIVED_WITHIN_S = 2.0


@pytest.fixture(scope="module")
def stack(stack: conftest.Stack) -> Iterator[Stack]:
    with with_writer(stack) as writable:
        yield writable


def surely(entries: list[Entry], at: float) -> tuple[set[int], set[int]]:
    """Ids committed before `at` for sure, and after it for sure."""
    return {e.id for e in entries if e.after <= at}, {e.id for e in entries if e.before > at}


def write_for(stack: Stack, ledger: Path, seconds: float) -> list[Entry]:
    with stack.writing(ledger):
        stack.wait_for_rows(ledger, 20)
        time.sleep(seconds)
    return read(ledger)


def test_latest_after_a_crash_and_the_loss_of_the_data(stack: Stack, tmp_path: Path) -> None:
    stack.new_ledger()
    ledger = tmp_path / "ledger"
    with stack.writing(ledger):
        stack.wait_for_rows(ledger, 300)
        crashed = time.time()
        stack.lose_data()
    entries = read(ledger)
    said = stack.ops("recover", "--yes").stdout
    present = stack.ids()
    missing = sorted(e.id for e in entries if e.id not in present)
    print(f"{len(entries)} acknowledged, {len(missing)} missing: {missing[:5]}")
    assert not [e for e in entries if e.id in missing and e.after < crashed - RECEIVED_WITHIN_S]
    assert missing == [] or missing[0] > max(present)
    assert "PROTECTED" in said
    stack.assert_protected()


def test_latest_of_a_running_server_loses_nothing(stack: Stack, tmp_path: Path) -> None:
    stack.new_ledger()
    ledger = tmp_path / "ledger"
    with stack.writing(ledger):
        stack.wait_for_rows(ledger, 100)
        stack.ops("recover", "--yes")
        stack.wait_for_rows(ledger, len(read(ledger)) + 20)
    assert {e.id for e in read(ledger)} <= stack.ids()


@dataclass(frozen=True)
class History:
    """Some seconds of writing and then a DROP TABLE, on `timeline`."""

    entries: list[Entry]
    dropped: float
    timeline: int
    xid: int
    lsn: str
    middle: float


@pytest.fixture(scope="module")
def history(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> History:
    stack.new_ledger()
    folder = tmp_path_factory.mktemp("history")
    entries = write_for(stack, folder / "first", 3.0)
    time.sleep(0.5)
    middle = time.time()
    # One row more and no others around it: what these three name is known exactly.
    xid = int(stack.sql("INSERT INTO ledger VALUES (-1); SELECT pg_current_xact_id()").split()[-1])
    lsn = stack.sql("SELECT pg_current_wal_insert_lsn()")
    stack.ops("restore-point", "middle")
    time.sleep(0.5)
    entries += write_for(stack, folder / "second", 3.0)
    time.sleep(1.0)
    dropped = time.time()
    stack.sql("DROP TABLE ledger")
    time.sleep(0.5)
    stack.sql("CREATE TABLE afterwards (i int)")
    timeline = int(stack.sql("SELECT timeline_id FROM pg_control_checkpoint()"))
    return History(entries, dropped, timeline, xid, lsn, middle)


@pytest.mark.parametrize("where", ["early", "late", "seconds before the drop"])
def test_a_moment(stack: Stack, history: History, where: str) -> None:
    first, last = history.entries[0].before, history.entries[-1].after
    at = {
        "early": first + 0.2 * (last - first),
        "late": first + 0.8 * (last - first),
        "seconds before the drop": history.dropped - 0.5,
    }[where]
    # After the first of these, the moment lies on an older timeline than the newest.
    recover(stack, "--target-time", moment(at), "--timeline", str(history.timeline))
    before, after = surely(history.entries, at)
    assert before <= stack.ids()
    assert not after & stack.ids()


@pytest.mark.parametrize("kind", ["xid", "lsn", "name"])
def test_a_transaction_a_position_a_name(stack: Stack, history: History, kind: str) -> None:
    value = {"xid": str(history.xid), "lsn": history.lsn, "name": "middle"}[kind]
    recover(stack, f"--target-{kind}", value, "--timeline", str(history.timeline))
    before, after = surely(history.entries, history.middle)
    assert stack.ids() == before | {-1}
    assert after


def test_a_moment_on_an_abandoned_timeline_is_refused_without_its_number(
    stack: Stack, history: History
) -> None:
    done = stack.ops("recover", "--target-time", moment(history.dropped), "--yes", check=False)
    assert done.returncode == 2
    assert f"--timeline {history.timeline}" in done.stderr
    stack.assert_protected()


def test_after_a_recovery_forward_again_and_undone(stack: Stack, tmp_path: Path) -> None:
    stack.new_ledger()
    entries = write_for(stack, tmp_path / "ledger", 1.0)
    time.sleep(1.0)
    after_first = time.time()
    time.sleep(1.0)
    more = write_for(stack, tmp_path / "more", 1.0)
    time.sleep(1.0)
    recover(stack, "--target-time", moment(after_first))
    assert stack.ids() == {e.id for e in entries}
    stack.ops("undo", "--yes")
    assert stack.ids() == {e.id for e in entries + more}
    stack.assert_protected()


def test_a_clone_shows_the_dropped_table_beside_the_running_server(
    stack: Stack, tmp_path: Path
) -> None:
    stack.new_ledger()
    ids = {e.id for e in write_for(stack, tmp_path / "ledger", 0.5)}
    time.sleep(1.0)
    before_drop = time.time()
    time.sleep(0.5)
    stack.sql("DROP TABLE ledger")
    stack.new_ledger()
    with stack.writing(tmp_path / "meanwhile"):
        stack.ops("clone", "--target-time", moment(before_drop))
        look = "psql -X -A -t -h /data/clones/clone -p 5433 -d app -c 'SELECT id FROM ledger'"
        shown = stack.on_postgres(f"cd /; runuser -u postgres -- {look}")
        stack.wait_for_rows(tmp_path / "meanwhile", 20)
    assert {int(line) for line in shown.split()} == ids
    assert stack.ids() == {e.id for e in read(tmp_path / "meanwhile")}
    stack.ops("clone", "--drop")
    assert stack.on_postgres("ls /data/clones") == ""
    stack.assert_protected()


# From step 10 on there is no way back; before, both ways are walked.
@pytest.mark.parametrize(
    ("step", "ending"),
    [(step, "--abort") for step in range(1, 11)] + [(step, "--resume") for step in range(2, 18, 3)],
)
def test_killed_at_every_step(stack: Stack, tmp_path: Path, step: int, ending: str) -> None:
    stack.new_ledger()
    ids = {e.id for e in write_for(stack, tmp_path / "ledger", 0.2)}
    runbook = stack.start_ops("recover", "--yes")
    assert runbook.stdout is not None
    for line in runbook.stdout:
        if line.startswith(f"[{step}/"):
            time.sleep(0.3)
            runbook.send_signal(signal.SIGKILL)
            break
    runbook.wait()
    done = stack.ops("recover", ending, check=False)
    if done.returncode and re.search("too far to be aborted", done.stderr):
        stack.ops("recover", "--resume")
    elif done.returncode and "No run is under way" not in done.stderr:
        pytest.fail(done.stdout + done.stderr)
    assert stack.ids() >= ids
    wait_protected(stack)


def recover(stack: Stack, *words: str) -> None:
    stack.ops("recover", *words, "--yes")
    stack.assert_protected()


def wait_protected(stack: Stack) -> None:
    """An aborted recovery's receiver needs a moment to connect again."""
    deadline = time.monotonic() + 90
    while stack.ops("status", check=False).returncode:
        assert time.monotonic() < deadline, stack.ops("status", check=False).stdout
        time.sleep(2)
