"""The end of a stack: what is said to be lost, which words do it, what is run in which order."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.pulumi import Pulumi
from ops import teardown
from ops.errors import OperatorError
from ops.model import BackupStatus, Disk, MachineStatus, PostgresStatus, Status, Verdict

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)


def machine(name: str) -> MachineStatus:
    disk = Disk(mounted=True, total_bytes=2**40, used_bytes=3 * 2**30, free_bytes=2**39)
    return MachineStatus(name=name, reachable=True, disk=disk)


def status(**changed: object) -> Status:
    known = Status(
        verdict=Verdict.PROTECTED,
        reasons=[],
        at=AT,
        server="pg",
        durability="sync",
        postgres_machine=machine("postgres-dev"),
        barman_machine=machine("barman-dev"),
        postgres=PostgresStatus(accepting=True, connections=4),
        backups=8,
        last_done_backup=BackupStatus(id="b", status="DONE", type="full", ended_at=AT),
        restorable_from=datetime(2026, 4, 23, 4, tzinfo=UTC),
    )
    return known.model_copy(update=changed)


def test_everything_that_goes_away_is_named() -> None:
    said = "\n".join(teardown.losses(status(), ["app", "shop"]))
    assert "postgres-dev and its data disk: 3.0 GiB used" in said
    assert "app, shop" in said
    assert "connections right now: 4" in said
    assert "every backup (8), the newest of 2026-05-01 12:00:00 UTC" in said
    assert "since 2026-04-23 04:00:00 UTC" in said


def test_what_cannot_be_looked_at_is_not_called_empty() -> None:
    gone = MachineStatus(name="barman-dev", reachable=False)
    unknown = {"barman_machine": gone, "restorable_from": None, "last_done_backup": None}
    said = "\n".join(teardown.losses(status(**unknown), ["app"]))
    assert "barman-dev and its data disk: it cannot be reached" in said
    assert "all backups" in said
    assert "none" not in said


@pytest.mark.parametrize("said", ["", "yes", "dev", "delete dev", "DELETE DEV AND ALL ITS DATA"])
def test_only_the_exact_words_are_the_words(said: str) -> None:
    with pytest.raises(OperatorError, match="delete dev and all its data") as refused:
        teardown.require_words("dev", said)
    assert refused.value.state == "Nothing was changed."
    teardown.require_words("dev", " delete dev and all its data\n")


@pytest.fixture
def pulumi(tmp_path: Path) -> Callable[[str], Pulumi]:
    """A stand-in for `pulumi` that fails at one command, and notes all of them in `ran`."""

    def made(failing: str) -> Pulumi:
        program = tmp_path / "pulumi"
        program.write_text(f'#!/bin/sh\necho "$1" >>ran\n[ "$1" != {failing} ]\n')
        program.chmod(0o755)
        return Pulumi(tmp_path, {"PATH": f"{tmp_path}:/usr/bin:/bin"}, "dev")

    return made


def test_nothing_is_destroyed_that_could_not_be_unprotected(
    pulumi: Callable[[str], Pulumi], tmp_path: Path
) -> None:
    with pytest.raises(OperatorError, match="unprotected"):
        teardown.destroy(pulumi("state"))
    assert (tmp_path / "ran").read_text().split() == ["state"]


def test_a_destroy_that_stops_half_way_says_that_the_rest_is_unprotected(
    pulumi: Callable[[str], Pulumi],
) -> None:
    with pytest.raises(OperatorError) as stopped:
        teardown.destroy(pulumi("destroy"))
    assert "no longer protected" in stopped.value.state
    assert "python -m ops teardown" in str(stopped.value)
