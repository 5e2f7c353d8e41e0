"""A recovery cut off anywhere: killed at every step, with both endings."""

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ops.recover.procedure import procedure
from ops.steps import Step
from tests.lab.recovery_site import Stack

STEPS = procedure("recover")
STEP_LINE = re.compile(r"\[(\d+)/\d+\] ")


def number_of(step: Step) -> int:
    return STEPS.index(step) + 1


def kill_at(runbook: subprocess.Popen[str], number: int, after_s: float = 0.0) -> None:
    """Kill the runbook `after_s` into the first step from `number` on."""
    assert runbook.stdout is not None
    for line in runbook.stdout:
        found = STEP_LINE.match(line)
        if found and int(found[1]) >= number:
            time.sleep(after_s)
            runbook.send_signal(signal.SIGKILL)
            runbook.wait()
            return
    pytest.fail(f"it ended before step {number}")


def test_killed_at_every_step_and_resumed(site: Stack, tmp_path: Path) -> None:
    """One recovery, killed as soon as each of its steps has begun."""
    site.new_ledger()
    ids = {e.id for e in site.write_for(tmp_path / "ledger", 0.2)}
    kill_at(site.start_ops("recover", "--yes"), 1)
    for number, step in enumerate(STEPS[1:], 2):
        kill_at(site.start_ops("recover", "--resume"), number)
        if step.final:
            refused = site.ops("recover", "--abort", check=False)
            assert refused.returncode == 2
            assert "gone too far to be aborted" in refused.stderr
    assert "PROTECTED" in site.ops("recover", "--resume").stdout
    assert site.ids() >= ids
    site.assert_protected()


@pytest.mark.parametrize("step", [s for s in STEPS if not s.final], ids=lambda step: step.name)
def test_killed_within_a_step_and_taken_back(site: Stack, tmp_path: Path, step: Step) -> None:
    site.new_ledger()
    ids = {e.id for e in site.write_for(tmp_path / "ledger", 0.2)}
    timeline = site.sql("SELECT timeline_id FROM pg_control_checkpoint()")
    # The last step that can be taken back is short: it may be over before the signal comes.
    kill_at(site.start_ops("recover", "--yes"), number_of(step), 0.0 if step is LAST else 0.3)
    site.ops("recover", "--abort")
    assert site.ids() == ids
    assert site.sql("SELECT timeline_id FROM pg_control_checkpoint()") == timeline
    site.wait_protected()


LAST = [step for step in STEPS if not step.final][-1]
