"""How long an update waits for a machine, and what it says when it does not come."""

import asyncio
from typing import Any

import pulumi
import pytest

from components import remote
from components.remote import FIRST_BOOT, UP_BEFORE

TIMEOUT = "after 0 failed attempts: dial tcp 198.51.100.7:22: i/o timeout"
FAILED = 'Process exited with status 1: running "sudo -n x":\nerror: after 3 failed attempts: no'


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TIMEOUT, "dial tcp 198.51.100.7:22: i/o timeout"),
        (
            "proxy: after 0 failed attempts: ssh: rejected: connect failed (No route to host)",
            "ssh: rejected: connect failed (No route to host)",
        ),
        (FAILED, None),
        ("context canceled", None),
    ],
)
def test_a_machine_that_is_not_reached_is_told_from_a_program_that_fails(
    error: str, reason: str | None
) -> None:
    assert remote.unreached(error) == reason


class World:
    """A clock, and a command that fails each time it is tried, after `try_s` seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, try_s: float) -> None:
        self.now, self.tries, self._try_s = 0.0, 0, try_s
        # Not asyncio.run, which leaves this thread, Pulumi's mocks in it, without a loop.
        self._loop = asyncio.new_event_loop()
        monkeypatch.setattr(pulumi, "ErrorHook", lambda name, judge: judge)
        monkeypatch.setattr(remote.time, "monotonic", lambda: self.now)

        async def sleep(seconds: float) -> None:
            self.now += seconds

        monkeypatch.setattr(remote.asyncio, "sleep", sleep)

    def run(self, operation: str, first_boot: bool, error: str = TIMEOUT) -> bool:
        """Until the command is not tried again."""
        judge: Any = remote._until_reached("postgres-machine", "postgres-dev", first_boot)
        while True:
            self.now += self._try_s
            self.tries += 1
            failure = pulumi.ErrorHookArgs("", "", "", "", failed_operation=operation)
            failure.errors = [error]
            if not self._loop.run_until_complete(judge(failure)):
                return False


# A refused connection, one that nobody answers, and one through the other machine.
TRIES_S = (0.0, remote.PER_DIAL_TIMEOUT_S, 15.0)


@pytest.mark.parametrize("try_s", TRIES_S)
@pytest.mark.parametrize(
    ("operation", "first_boot"), [("create", False), ("update", False), ("update", True)]
)
def test_one_that_was_up_before_is_named_within_two_minutes(
    try_s: float, operation: str, first_boot: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(monkeypatch, try_s)
    with pytest.raises(ConnectionError, match="postgres-dev was not reached") as said:
        world.run(operation, first_boot)
    assert UP_BEFORE.limit_s <= world.now <= 120
    assert "dial tcp 198.51.100.7:22: i/o timeout" in str(said.value)
    assert "python -m ops status" in str(said.value)


@pytest.mark.parametrize("try_s", TRIES_S)
def test_a_first_boot_may_take_longer(try_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, try_s)
    with pytest.raises(ConnectionError, match="postgres-dev was not reached"):
        world.run("create", first_boot=True)
    assert world.now >= FIRST_BOOT.limit_s
    # So many times the engine asks.
    assert world.tries < 100


def test_a_program_that_failed_is_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, 1.0)
    assert world.run("update", first_boot=False, error=FAILED) is False
    assert world.tries == 1
