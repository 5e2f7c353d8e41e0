"""Ours, by what an operator types; nothing here knows how it is done."""

import json
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from bench.peers.machines import Failed, Machines
from bench.peers.replaying import began, seconds_per_segment

_CLONE, _PORT = "bench", "5497"
_UNIT = f"runbook-clone-{_CLONE}"


@dataclass(frozen=True)
class Cloned:
    """Seconds of a clone: from the command to a server that is open; of it the restore, up to the
    first word of the clone's PostgreSQL; of each segment that was replayed."""

    whole: float
    restore: float
    segment: float | None


def backup(machines: Machines) -> tuple[float, int]:
    """Take one; seconds, and the bytes that it takes on Barman's disk. Raises Failed."""
    before = {each["id"] for each in _backups(machines)}
    begin = time.time()
    machines.ops("backup", "--wait")
    seconds = time.time() - begin
    new = [each for each in _backups(machines) if each["id"] not in before]
    if len(new) != 1 or new[0]["size_bytes"] is None:
        raise Failed(f"ops backups does not show the one backup that was taken: {new}")
    return seconds, new[0]["size_bytes"]


def _backups(machines: Machines) -> list[dict[str, Any]]:
    return json.loads(machines.ops("backups", "--json"))["backups"]


def clone(machines: Machines, target: str, first: str) -> Cloned:
    """Bring a restore point back beside the server, from the newest backup before it; segments
    count from `first` on. Raises Failed."""
    since = begin = time.time()
    words = ["clone", "--name", _CLONE, "--port", _PORT, "--target-name", target]
    restoring, said = None, []
    with subprocess.Popen(
        [".venv/bin/python", "-m", "ops", *words],
        cwd=machines.checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        for line in run.stdout or ():
            said.append(line)
            if restoring is None and line.startswith("restoring "):
                restoring = time.time()
    whole = time.time() - begin
    if run.returncode or restoring is None:
        raise Failed(f"ops {' '.join(words)}: {''.join(said)[-600:]}")
    journal = machines.journal(_UNIT, since)
    started = began(journal)
    if started is None:
        raise Failed(f"{_UNIT} has logged nothing")
    return Cloned(whole, started - restoring, seconds_per_segment(journal, first))


def drop(machines: Machines) -> None:
    """Remove the clone. Raises Failed where there is none."""
    machines.ops("clone", "--drop", "--name", _CLONE)
