"""One look at a machine: what it says, and what becomes of files that are not there."""

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from ops.onmachine import glance as there
from ops.reach import glance
from ops.reach.ssh import Machine, Result
from ops.runbook import journal
from ops.runbook.journal import Journal
from ops.watch import guard, in_force
from ops.watch.guard import Guard


class ThisMachine:
    """Runs here what a machine would run; counts."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, argv: Sequence[str], *, stdin: str, **_: Any) -> Result:
        self.runs += 1
        words = [*argv]
        done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=True)
        return Result("", 0, done.stdout, done.stderr)


def test_one_process_says_it_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(glance, "MOUNT_POINT", str(tmp_path))
    (tmp_path / "told").write_text("some\n\u2028text")
    told, missing, folder = (str(tmp_path / name) for name in ("told", "missing", "."))
    machine = ThisMachine()
    before = time.monotonic()
    seen = glance.take(cast(Machine, machine), told, missing, folder)
    assert machine.runs == 1
    assert seen.files == {told: "some\n\u2028text", missing: "", folder: ""}
    assert before < seen.clock_s < time.monotonic()
    assert not seen.disk.mounted
    assert 0 < seen.disk.used_bytes + seen.disk.free_bytes <= seen.disk.total_bytes
    assert seen.uptime_s > 0
    assert seen.os in Path("/etc/os-release").read_text()


def test_barmans_version_is_that_of_the_interpreter_in_its_first_line(tmp_path: Path) -> None:
    interpreter, program = tmp_path / "python", tmp_path / "barman"
    interpreter.write_text("#!/bin/sh\necho 3.13.2\n")
    interpreter.chmod(0o755)
    program.write_text(f"#!{interpreter}\nimport barman.cli\n")
    assert there.version(str(program)) == "3.13.2"
    interpreter.write_text("#!/bin/sh\necho there is no module barman >&2; exit 1\n")
    assert there.version(str(program)) is None


@pytest.mark.parametrize("content", ["", "\n", "#!/no/such/python\n"])
def test_a_program_that_names_no_interpreter_has_no_version(tmp_path: Path, content: str) -> None:
    program = tmp_path / "barman"
    program.write_text(content)
    assert there.version(str(program)) is None
    assert there.version(None) is None


def looked(status: str, clock_s: float = 100.0) -> glance.Glance:
    files = {guard.STATUS: status}
    disk = {"mounted": True, "total_bytes": 2, "used_bytes": 1, "free_bytes": 1}
    return glance.Glance.model_validate(
        {
            "uptime_s": 1,
            "os": "Debian",
            "disk": disk,
            "clock_s": clock_s,
            "barman_version": None,
            "files": files,
        }
    )


def guarding(server: str = "running", now: float = 99.0) -> str:
    look = {"now": now, "server": server}
    return json.dumps(
        {"level": "sync", "fallback_after_s": 30.0, "look": look, "problem": "refused"}
    )


def test_the_guard_is_what_it_said_within_the_last_seconds() -> None:
    assert guard.seen_in(looked(guarding())) == Guard("sync", 30.0, None)


@pytest.mark.parametrize("server", guard.UNSEEN)
def test_a_guard_that_sees_no_server_says_why(server: str) -> None:
    assert guard.seen_in(looked(guarding(server))) == Guard("sync", 30.0, "refused")


@pytest.mark.parametrize(
    "status",
    ["", "null", "{", '{"level": "sync"}', guarding(now=84.9), guarding(now=100.1)],
    ids=["missing", "null", "torn", "older", "silent", "of before a reboot"],
)
def test_a_guard_that_has_looked_at_nothing_is_silent(status: str) -> None:
    assert guard.seen_in(looked(status)) == Guard()


def test_a_machine_that_was_never_brought_to_a_state_is_not_as_the_update_left_it() -> None:
    (reason,) = in_force.judge("pg", {"postgres": "digest"}, in_force.parse(""))
    assert "is not as the last update" in reason.text


def test_no_journal_is_no_run() -> None:
    run = Journal.begin("rejoin")
    assert journal.parse("") is None
    assert journal.parse(run.model_dump_json()) == run
