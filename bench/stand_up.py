"""How long it takes to stand the stack up on the lab, and where the time goes.

Works on a copy of the checkout, so a lab that is up stays as it is. Caches (engine, image,
packages) are warm unless they were removed before.
"""

import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

STEP = re.compile(r"^ \+  command:remote:Command (\S+) created \((\d+(?:\.\d+)?)s\)", re.MULTILINE)


@dataclass(frozen=True)
class Timing:
    """What one command took, in seconds of wall-clock, and what it printed."""

    seconds: float
    output: str


def measure(checkout: Path) -> tuple[str, list[tuple[str, float]]]:
    """A title, and what was done with its seconds, in the order of the doing. Raises
    CalledProcessError."""
    rows = [("plan of the dev stack", timed(checkout, "plan", "dev").seconds)]
    try:
        first = timed(checkout, "up")
        rows.append(("up, from nothing to a DONE first backup", first.seconds))
        rows += [
            (f"  of it {name}", float(seconds)) for name, seconds in STEP.findall(first.output)
        ]
        rows.append(("up again, nothing to change", timed(checkout, "up").seconds))
    finally:
        last = timed(checkout, "down", "--yes-delete-data")
    return "Standing the stack up", [*rows, ("down", last.seconds)]


def timed(checkout: Path, *words: str) -> Timing:
    begin = time.monotonic()
    done = subprocess.run(
        [".venv/bin/python", "-m", "lab", *words],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=True,
    )
    return Timing(time.monotonic() - begin, done.stdout + done.stderr)
