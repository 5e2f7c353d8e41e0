"""Steps resumed, taken back and refused; and the guard against a server that still runs."""

import io
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from host.bundle import PYTHON, bundle
from host.domain.control_data import minimums
from host.domain.paths import RUNBOOKS
from ops.archive.plan import Plan
from ops.archive.targets import Kind, Target
from ops.errors import OperatorError
from ops.onmachine import stopped
from ops.reach.ssh import ConnectionLost, Site
from ops.recover import cluster, restore, swap
from ops.runbook import journal, steps
from ops.runbook.journal import Journal, State
from ops.runbook.steps import Run, Step

RECORDED = Path(__file__).with_name("recorded")


class Walk:
    """Three steps, the third final, that write down what happens; one of them may fail."""

    def __init__(self, failing: str = "", error: Exception | None = None) -> None:
        self.seen: list[str] = []
        self.failing, self.error = failing, error
        self.steps = [
            Step(name, name, self._do(name), self._undo(name), final=name == "c") for name in "abc"
        ]

    def _do(self, name: str):
        def do(run: Run) -> str:
            self.seen.append(name)
            if name == self.failing and self.error:
                raise self.error
            return ""

        return do

    def _undo(self, name: str):
        return lambda run: self.seen.append(f"-{name}")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr(journal, "save", lambda machine, current: None)
    monkeypatch.setattr(journal, "close", lambda machine, current: None)
    idle = SimpleNamespace(run=lambda argv, timeout_s: None)
    site = cast(Site, SimpleNamespace(barman=idle, postgres=idle, outputs=None))
    return Run(site, Journal.begin("recover"), Console(file=io.StringIO()))


@pytest.mark.parametrize("taken_back", [False, True])
def test_the_journal_says_nothing_that_a_power_cut_could_undo(
    run: Run, monkeypatch: pytest.MonkeyPatch, taken_back: bool
) -> None:
    walk = Walk()
    in_memory: set[tuple[str, str]] = set()

    def machine(name: str) -> SimpleNamespace:
        def forced(argv: list[str], timeout_s: float) -> None:
            assert argv[0] == "sync"
            in_memory.difference_update([item for item in in_memory if item[1] == name])

        return SimpleNamespace(run=forced)

    def saved(machine: object, current: Journal) -> None:
        settled = {r.name for r in current.steps if r.state in (State.DONE, State.UNDONE)}
        assert not settled & {step for step, _ in in_memory}

    run.site = cast(Site, SimpleNamespace(barman=machine("barman"), postgres=machine("postgres")))
    monkeypatch.setattr(journal, "save", saved)
    walk.steps = [in_memory_first(step, in_memory) for step in walk.steps[:2]]
    steps.forward(run, walk.steps)
    if taken_back:
        steps.backward(run, walk.steps)
    assert in_memory == set()


def in_memory_first(step: Step, in_memory: set[tuple[str, str]]) -> Step:
    """The same step, whose work is in memory only until each machine has forced it to disk."""
    written = [(step.name, "postgres"), (step.name, "barman")]

    def do(run: Run) -> str:
        in_memory.update(written)
        return step.do(run)

    return Step(step.name, step.title, do, lambda run: in_memory.update(written))


def test_a_failure_takes_everything_back(run: Run) -> None:
    walk = Walk("b", OperatorError("no room", "Nothing was changed."))
    with pytest.raises(OperatorError, match="no room") as caught:
        steps.forward(run, walk.steps)
    assert walk.seen == ["a", "b", "-b", "-a"]
    assert "put back" in caught.value.state


def test_after_the_final_step_there_is_only_forward(run: Run) -> None:
    walk = Walk("c", OperatorError("slot in use", "Nothing was changed."))
    with pytest.raises(OperatorError, match="slot in use") as caught:
        steps.forward(run, walk.steps)
    assert walk.seen == ["a", "b", "c"]
    assert "NOT protected" in caught.value.state
    assert "--resume" in str(caught.value.next_command)
    with pytest.raises(OperatorError, match="too far"):
        steps.backward(run, walk.steps)


def test_a_lost_connection_leaves_it_to_be_resumed(run: Run) -> None:
    walk = Walk("b", ConnectionLost("gone"))
    with pytest.raises(OperatorError, match="unfinished"):
        steps.forward(run, walk.steps)
    again = Walk()
    steps.forward(run, again.steps)
    assert again.seen == ["b", "c"]
    assert all(record.state is State.DONE for record in run.journal.steps)


def test_an_abort_repeats_nothing_that_was_taken_back(run: Run) -> None:
    walk = Walk("b", ConnectionLost("gone"))
    with pytest.raises(OperatorError):
        steps.forward(run, walk.steps)
    steps.backward(run, walk.steps)
    steps.backward(run, walk.steps)
    assert walk.seen == ["a", "b", "-b", "-a"]


def test_what_cannot_be_taken_back_says_how_to_go_on(run: Run) -> None:
    walk = Walk("b", OperatorError("no room", "Nothing was changed."))

    def stuck(run: Run) -> None:
        raise OperatorError("it still runs", "Nothing was changed.")

    walk.steps[0] = Step("a", "a", walk.steps[0].do, stuck)
    with pytest.raises(OperatorError, match="Undoing step a failed: it still runs") as caught:
        steps.forward(run, walk.steps)
    assert "--abort" in str(caught.value.next_command)


def test_a_machine_that_goes_while_steps_are_taken_back(run: Run) -> None:
    walk = Walk("b", OperatorError("no room", "Nothing was changed."))

    def gone(run: Run) -> None:
        raise ConnectionLost("gone")

    walk.steps[0] = Step("a", "a", walk.steps[0].do, gone)
    with pytest.raises(OperatorError, match="Step a is not undone yet") as caught:
        steps.forward(run, walk.steps)
    assert "--resume" in str(caught.value.next_command)


def test_a_run_whose_lock_has_expired_begins_no_step(run: Run) -> None:
    """A laptop slept: another runbook may be at work."""
    walk = Walk()
    left = [None, ConnectionLost("the lock on barman has expired")]

    def require() -> None:
        found = left.pop(0)
        if found:
            raise found

    run.require_lock = require
    with pytest.raises(OperatorError, match=r"has expired\. Step b was not begun") as caught:
        steps.forward(run, walk.steps)
    assert walk.seen == ["a"]
    assert run.journal.record("b") is None
    assert "--resume" in str(caught.value.next_command)


def test_the_journal_survives_its_disk() -> None:
    begun = Journal.begin("recover", options=1)
    begun.note("stop", State.DONE, 1.5, "stopped")
    assert Journal.model_validate_json(begun.model_dump_json()) == begun


def test_a_process_in_the_data_directory_is_seen(tmp_path: Path) -> None:
    data = tmp_path / "main"
    data.mkdir()
    child = subprocess.Popen(["sleep", "60"], cwd=data)
    try:
        found = stopped.users(data, Path("/proc"))
        assert found == [f"{child.pid} sleep 60"]
        # The directory is set aside under it: still seen, under the name it has now or had.
        data.rmdir()
        assert stopped.users(data, Path("/proc")) == found
    finally:
        child.kill()
        child.wait()
    assert stopped.users(data, Path("/proc")) == []


def test_nothing_is_moved_while_the_server_runs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the stop step disabled, the guard of the next ones refuses."""
    monkeypatch.setattr(cluster, "users", lambda run, data: ["4711 postgres"])
    monkeypatch.setattr(cluster, "PROOF_TIMEOUT_S", 0.0)
    names = SimpleNamespace(data="/d", unit="u", version="17")
    for module in (cluster, restore, swap):
        monkeypatch.setattr(module, "cluster", lambda run: names)
    run.journal.plan = Plan.model_construct(backup_id="x")
    for step in (swap.swap, swap.undo_swap, restore.restore):
        with pytest.raises(OperatorError, match="4711 postgres"):
            step(run)


def test_the_settings_of_each_kind_of_target() -> None:
    at = "2026-05-01 12:00:00+00:00"
    values = restore.target_settings(Target(kind=Kind.TIME, value=at, exclusive=True), 3)
    assert values == {
        "recovery_target_timeline": "3",
        "recovery_target_time": at,
        "recovery_target_inclusive": "off",
    }
    assert restore.target_settings(Target(), 3) == {"recovery_target_timeline": "3"}
    assert restore.target_settings(Target(kind=Kind.NAME, value="x"), 3, "0/E019FA0") == {
        "recovery_target_timeline": "3",
        "recovery_target_lsn": "0/E019FA0",
        "recovery_target_inclusive": "on",
    }
    immediate = restore.target_settings(Target(kind=Kind.IMMEDIATE, value="immediate"), 1)
    assert immediate["recovery_target"] == "immediate"


def test_a_clone_gets_the_settings_that_replay_insists_on() -> None:
    found = minimums((RECORDED / "controldata.txt").read_text())
    assert found["max_connections"] == "100"
    assert found["max_locks_per_transaction"] == "64"


def test_what_is_sent_to_a_machine_runs_there_by_itself(tmp_path: Path) -> None:
    done = subprocess.run(
        PYTHON,
        input=bundle("ops.onmachine.stopped", str(tmp_path)),
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer == {"users": []}


class CutConnection:
    """A Barman machine below `root`, whose connection breaks after `sent` bytes of what is sent."""

    def __init__(self, root: Path, sent: int | None = None) -> None:
        self.root, self.sent = root, sent

    def run(self, argv: list[str], *, stdin: bytes = b"", **_: Any) -> Any:
        here = [word.replace(RUNBOOKS, str(self.root)) for word in argv]
        done = subprocess.run(here, input=stdin[: self.sent], capture_output=True, check=False)
        return SimpleNamespace(stdout=done.stdout.decode(), ok=done.returncode == 0)


@pytest.mark.parametrize("sent", [0, 100])
def test_a_runbook_killed_while_it_saves_leaves_the_journal_before(
    tmp_path: Path, sent: int
) -> None:
    current = Journal.begin("recover")
    whole, cut = (cast(Any, CutConnection(tmp_path, bytes_sent)) for bytes_sent in (None, sent))
    journal.save(whole, current)
    after = current.model_copy(deep=True)
    after.note("pause", State.STARTED)
    journal.save(cut, after)
    assert journal.load(whole) == current
    journal.save(whole, after)
    assert journal.load(whole) == after
