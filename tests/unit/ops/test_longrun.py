"""How long work on a machine is judged, by the shell script that asks there."""

import os
import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from ops.errors import OperatorError
from ops.reach import longrun, shell
from ops.reach.ssh import Result


def judged(tmp_path: Path, systemctl: str, status: str | None) -> str:
    """What the script says with this `systemctl` on the machine and this exit code on file."""
    fake = tmp_path / "systemctl"
    fake.write_text(f"#!/bin/sh\n{systemctl}\n")
    fake.chmod(0o755)
    log = tmp_path / "log"
    if status is not None:
        Path(f"{log}.status").write_text(status)
    done = subprocess.run(
        shell.argv("unit-state", str(log), "unit"),
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(log)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    return done.stdout.strip()


@pytest.mark.parametrize("state", ["active", "activating", "deactivating"])
def test_work_under_way(tmp_path: Path, state: str) -> None:
    assert judged(tmp_path, f"echo {state}", None) == state


@pytest.mark.parametrize("code", ["0", "3"])
def test_work_that_ended_has_its_exit_code(tmp_path: Path, code: str) -> None:
    assert judged(tmp_path, "echo inactive; exit 3", f"{code}\n") == code


def test_work_that_ends_at_this_moment_is_not_taken_for_killed(tmp_path: Path) -> None:
    ending = 'echo 0 >"$LOG.status"; echo inactive; exit 3'
    assert judged(tmp_path, ending, None) == "0"


def test_work_that_was_killed_has_none(tmp_path: Path) -> None:
    assert judged(tmp_path, "echo inactive; exit 3", None) == "inactive"


@pytest.mark.parametrize(
    ("state", "said"),
    [("3", "exit code 3"), ("137", "killed by signal 9"), ("inactive", "it was killed or")],
)
def test_why_it_failed_is_said(monkeypatch: pytest.MonkeyPatch, state: str, said: str) -> None:
    monkeypatch.setattr(longrun, "start", lambda *_, **__: None)
    monkeypatch.setattr(longrun, "state_of", lambda *_: state)
    argv = ["barman", "-c", "/etc/other.conf", "backup", "pg"]
    with pytest.raises(OperatorError, match=rf"^barman on here failed \({said}"):
        longrun.run(cast(Any, Here()), "u", argv, "/log", user="barman", adopt=False, tick=print)


class Here:
    """A machine with a log that says nothing."""

    name = "here"

    def run(self, *_: object, **__: object) -> Result:
        return Result("cat", 0, "", "")


def test_what_went_wrong_is_found_in_a_long_output() -> None:
    output = "file\n" * 5000 + "rsync: write failed: No space left on device (28)\n" + "file\n" * 9
    assert longrun.complaint(output) == "rsync: write failed: No space left on device (28)"
    assert longrun.complaint("nothing to see\n") == "nothing to see"
