"""A runbook under way: its steps as it says them, and how it is cut off."""

import re
import signal
import subprocess
import time

STEP_LINE = re.compile(r"\[(\d+)/\d+\] ")


def wait_for(runbook: subprocess.Popen[str], number: int) -> None:
    """Until the first step from `number` on has begun."""
    assert runbook.stdout is not None
    for line in runbook.stdout:
        found = STEP_LINE.match(line)
        if found and int(found[1]) >= number:
            return
    raise AssertionError(f"it ended before step {number}")


def kill_at(runbook: subprocess.Popen[str], number: int, after_s: float = 0.0) -> None:
    """Kill the runbook `after_s` into the first step from `number` on."""
    wait_for(runbook, number)
    time.sleep(after_s)
    runbook.send_signal(signal.SIGKILL)
    runbook.wait()
