"""A machine's control group: what holds every process of a machine, so that all of them can be
frozen or killed at one stroke, wherever they came from."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from lab.names import Lab
from lab.shell import LabError, run

_FALLBACK = Path("/run/postgres-barman-labs/cgroup")


def systemd() -> bool:
    """Whether systemd runs this host, and so owns its control groups."""
    return Path("/run/systemd/system").is_dir()


def unit(lab: Lab, machine: str) -> str:
    return f"{lab.short}-{machine}.service"


def path(lab: Lab, machine: str) -> Path:
    """The machine's group; it exists only while the machine runs, or after a crash of it."""
    if systemd():
        return _root() / "system.slice" / unit(lab, machine)
    return _root() / lab.short / machine


def processes(group: Path) -> list[int]:
    """Every process in the group or below it."""
    found: list[int] = []
    # os.walk, unlike rglob, goes on when a group below goes away meanwhile: a login's does often.
    for folder, _, _ in os.walk(group):
        try:
            found += map(int, Path(folder, "cgroup.procs").read_text().split())
        except OSError:
            continue
    return found


def leader(group: Path) -> int | None:
    """The machine's init as this host numbers it; None until it has started."""
    for process in processes(group):
        try:
            status = Path(f"/proc/{process}/status").read_text()
        except OSError:
            continue
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        if fields["NSpid"].split()[1:] == ["1"] and fields["Name"] == "systemd":
            return process
    return None


def populated(group: Path) -> bool:
    try:
        return "populated 1" in (group / "cgroup.events").read_text().splitlines()
    except OSError:
        return False


def wait_empty(group: Path, seconds: float) -> bool:
    """Wait for the last process to end; whether it did in time."""
    deadline = time.monotonic() + seconds
    while populated(group):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def freeze(group: Path, frozen: bool) -> None:
    """Stop every process where it stands, or let them go on; done when it returns."""
    (group / "cgroup.freeze").write_text("1" if frozen else "0")
    deadline = time.monotonic() + 10
    while f"frozen {int(frozen)}" not in (group / "cgroup.events").read_text().splitlines():
        if time.monotonic() > deadline:
            raise LabError(f"the processes of {group.name} did not {'stop' if frozen else 'go on'}")
        time.sleep(0.01)


def kill(group: Path) -> None:
    """End every process at once and wait for them to be gone."""
    (group / "cgroup.kill").write_text("1")
    if not wait_empty(group, 30):
        raise LabError(f"processes of {group.name} survive being killed")


def remove(group: Path) -> None:
    """Remove an empty group and those below it, and the lab's own with the last. Idempotent."""
    if systemd():
        # The unit's name is free again, and its group removed, once this has returned.
        run(["systemctl", "stop", group.name], check=False)
        run(["systemctl", "reset-failed", group.name], check=False)
        return
    below = (found for found in group.rglob("*") if found.is_dir())
    for directory in sorted(below, key=lambda found: len(found.parts), reverse=True):
        directory.rmdir()
    if group.is_dir():
        group.rmdir()
    with suppress(OSError):  # not there, or another machine's group is still in it
        group.parent.rmdir()


def _root() -> Path:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(where)
    _FALLBACK.mkdir(parents=True, exist_ok=True)
    run(["mount", "-t", "cgroup2", "cgroup2", _FALLBACK])
    return _FALLBACK
