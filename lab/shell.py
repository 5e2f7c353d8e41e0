"""Running programs: one place that turns a failure into a message an operator can use."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

# Package that holds each program, for the message when it is missing.
PACKAGES = {
    "debootstrap": "debootstrap",
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ip": "iproute2",
    "losetup": "mount",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}


class LabError(Exception):
    """Something of the lab could not be done; the message says what, and what to do next.

    lab.lock.BusyError, the only kind with an exit code of its own, is one of these.
    """


def run(
    argv: Sequence[str | Path],
    *,
    stdin: str = "",
    check: bool = True,
    namespace: str | None = None,
    timeout: float | None = 120,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, output captured as text; `namespace` names a network namespace.

    Raises LabError if it cannot be found, takes longer than `timeout` seconds, or (with `check`)
    exits with anything but 0.
    """
    command = [str(part) for part in argv]
    if namespace:
        command = ["nsenter", f"--net=/run/netns/{namespace}", "--", *command]
    try:
        done = subprocess.run(command, input=stdin, text=True, capture_output=True, timeout=timeout)
    except FileNotFoundError as error:
        raise LabError(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(command)} timed out after {timeout} s") from error
    if check and done.returncode:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise LabError(f"{' '.join(command)} failed ({done.returncode}): {said}")
    return done


def require_host() -> None:
    """Raise LabError unless this host can run a lab: Linux, root, the programs it needs."""
    if os.uname().sysname != "Linux" or os.geteuid() != 0:
        raise LabError("the lab boots real machines and needs root on Linux: nothing was changed")
    missing = {package for program, package in PACKAGES.items() if not shutil.which(program)}
    if missing:
        raise LabError(
            "the lab needs programs that are not installed: nothing was changed. "
            f"Run: apt-get install {' '.join(sorted(missing))}"
        )
