"""What a plan says on screen will be lost."""

import io
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from ops.archive import plan, targets
from ops.archive.targets import Target
from ops.reach.ssh import Site
from ops.recover.preflight import Preflight
from ops.recover.show import show_plan
from tests.unit.ops.test_plan import NOW, STORE

SITE = cast(
    Site,
    SimpleNamespace(
        outputs=SimpleNamespace(
            postgres=SimpleNamespace(name="postgres-lab", private_address="10.0.0.4")
        )
    ),
)


def shown(target: Target, *, running: bool = True, **more: Any) -> str:
    """On one line."""
    server = cast(Any, SimpleNamespace(accepting=running))
    found = Preflight(plan=plan.choose(STORE, target, NOW, **more), server=server)
    console = Console(file=io.StringIO(), width=200)
    show_plan(SITE, found, [], {}, console)
    return " ".join(cast(io.StringIO, console.file).getvalue().split())


def test_the_latest_state_of_a_server_that_runs_loses_nothing() -> None:
    said = shown(Target())
    assert "target the last acknowledged commit, on timeline 4" in said
    assert "will be lost nothing" in said


@pytest.mark.parametrize("running", [True, False])
def test_the_latest_state_of_an_older_timeline_loses_all_that_came_later(running: bool) -> None:
    said = shown(Target(), running=running, timeline=1)
    assert "target the last commit on timeline 1, which is NOT the newest" in said
    assert "will be lost everything committed on timelines 2 and 4, until now" in said
    assert "timeline 2 left timeline 1 after the commit of 2026-11-23 07:28:32 UTC" in said
    assert "nothing" not in said


def test_a_moment_that_only_an_older_timeline_has() -> None:
    said = shown(targets.parse(time="2026-11-23 07:41:08Z"), timeline=2)
    assert "will be lost everything committed after 2026-11-23 07:41:08" in said
    said = shown(targets.parse(time="2026-11-23 07:42:00Z"), timeline=3)
    assert "will be lost everything committed on timeline 4, until now" in said
