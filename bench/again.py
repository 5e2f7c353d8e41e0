"""What an operator waits for when nothing is to be done: `ops status`, a preview, an update.

With BEFORE in the environment, a commit of this repository, its `ops status` is measured as well,
in turns with this one's and on the same machines.
"""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from engine import binary
from engine.environment import Workspace, environment

ROUNDS = 7
STACK = "lab"
STATUS = (sys.executable, "-m", "ops", "status")
# What `make up` asks of the engine, and a preview of the same.
SETTINGS = ("--config-file", f".lab/stacks/{STACK}/project/Pulumi.{STACK}.yaml")


def measure(checkout: Path) -> tuple[str, list[tuple[str, float]]]:
    """A title, and the median seconds of each. Raises CalledProcessError."""
    commands: dict[str, tuple[Path, Sequence[str]]] = {"ops status": (checkout, STATUS)}
    if before := os.environ.get("BEFORE"):
        commands[f"ops status at {before}"] = (_of(before, checkout), STATUS)
    engine = ("pulumi", "preview", "--non-interactive", *SETTINGS)
    commands["pulumi preview, nothing to change"] = (checkout, engine)
    lab = (sys.executable, "-m", "lab")
    commands["make up, nothing to change"] = (checkout, (*lab, "up"))
    subprocess.run((*lab, "up"), cwd=checkout, capture_output=True, check=True)
    try:
        around = _around(checkout)
        took = [
            {name: _seconds(words, folder, around) for name, (folder, words) in commands.items()}
            for _ in range(ROUNDS)
        ]
    finally:
        subprocess.run(
            (*lab, "down", "--yes-delete-data"), cwd=checkout, capture_output=True, check=True
        )
    medians = [(name, median(each[name] for each in took)) for name in commands]
    if before:
        rounds = [each["ops status"] / each[f"ops status at {before}"] for each in took]
        medians.insert(2, (f"  times that of {before}", median(rounds)))
    return f"Again, with nothing to do (medians of {ROUNDS} rounds)", medians


def _around(checkout: Path) -> Mapping[str, str]:
    """The environment of a shell that works on the lab of `checkout`."""
    programs = binary.available(checkout)
    if programs is None:
        raise FileNotFoundError("the engine that made the lab is gone")
    return environment(Workspace(checkout / ".lab"), programs, STACK)


def _of(commit: str, checkout: Path) -> Path:
    """A checkout of `commit` beside the other one."""
    folder = checkout.with_name("before")
    subprocess.run(["git", "clone", "--quiet", checkout, folder], check=True)
    subprocess.run(["git", "checkout", "--quiet", commit], cwd=folder, check=True)
    return folder


def _seconds(words: Sequence[str], folder: Path, around: Mapping[str, str]) -> float:
    begin = time.monotonic()
    done = subprocess.run(words, cwd=folder, env=around, capture_output=True, check=False)
    took = time.monotonic() - begin
    # `ops status` says with 1 or 2 that something is amiss, and took its time all the same.
    if done.returncode and words is not STATUS:
        done.check_returncode()
    return took
