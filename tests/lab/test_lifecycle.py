"""A lab that is killed while it comes up, goes on, and leaves nothing behind when it goes."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import machine
from lab.names import Lab
from tests.lab.conftest import Stack, copy_checkout, image


@pytest.fixture(scope="module")
def interrupted(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Stack]:
    """A lab whose first `up` was killed, its engine too, when both machines had been started."""
    stack = Stack(copy_checkout(tmp_path_factory.mktemp("checkout"), image(pytestconfig)))
    first = subprocess.Popen(
        [".venv/bin/python", "-m", "lab", "up"],
        cwd=stack.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        try:
            deadline = time.monotonic() + 900
            while not both_run(stack.lab):
                assert first.poll() is None, "up ended before both machines ran"
                assert time.monotonic() < deadline
                time.sleep(0.2)
        finally:
            for pid in [first.pid, *engines(stack)]:
                os.kill(pid, signal.SIGKILL)
            first.wait()
        yield stack
    finally:
        stack.lab_command("down", "--yes-delete-data", check=False)


def engines(stack: Stack) -> list[int]:
    """The Pulumi engines at work on this checkout."""
    return [
        int(process.name)
        for process in Path("/proc").iterdir()
        if process.name.isdigit()
        and (process / "comm").exists()
        and (process / "comm").read_text().strip() == "pulumi"
        and (process / "cwd").resolve() == stack.root
    ]


def both_run(lab: Lab) -> bool:
    names = machine.names(lab)
    return len(names) == 2 and all(machine.is_running(lab, name) for name in names)


def traces(stack: Stack) -> dict[str, str]:
    """Everything of this lab that the host can see, by where it was looked for."""
    short, directory = stack.lab.short, str(stack.lab.directory)
    looks = {
        "network namespaces": ["ip", "netns", "list"],
        "links": ["ip", "-o", "link"],
        "routes": ["ip", "route"],
        "nftables": ["nft", "list", "ruleset"],
        "mounts": ["cat", "/proc/mounts"],
        "loop devices": ["losetup", "--list", "--noheadings", "--output", "NAME,BACK-FILE"],
        "processes": ["ps", "-eo", "args"],
    }
    found = {}
    for place, argv in looks.items():
        text = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        lines = [line for line in text.splitlines() if short in line or directory in line]
        if lines:
            found[place] = "\n".join(lines)
    return found


def test_up_goes_on_after_it_was_killed(interrupted: Stack) -> None:
    interrupted.lab_command("up")
    assert "FAILED" not in interrupted.barman("check", "pg")
    interrupted.pulumi("preview", "--expect-no-changes", "--non-interactive")


def test_down_asks_before_it_deletes_a_data_disk(interrupted: Stack) -> None:
    refused = interrupted.lab_command("down", check=False)
    assert refused.returncode == 5
    assert interrupted.sql("SELECT 1") == "1"


def test_destroy_stops_at_the_protected_disks(interrupted: Stack) -> None:
    refused = interrupted.pulumi("destroy", "--yes", "--non-interactive", check=False)
    assert refused.returncode != 0
    assert "protect" in refused.stdout + refused.stderr
    assert interrupted.sql("SELECT 1") == "1"


def test_down_leaves_nothing(interrupted: Stack) -> None:
    seen = traces(interrupted)
    # The same look while the lab is up sees it in every one of these places.
    assert {"network namespaces", "links", "nftables", "mounts", "loop devices"} <= set(seen)
    interrupted.lab_command("down", "--yes-delete-data")
    assert traces(interrupted) == {}
    assert not list(interrupted.lab.directory.glob("*/*"))
