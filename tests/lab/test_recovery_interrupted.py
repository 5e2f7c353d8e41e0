"""A recovery cut off anywhere: killed at every step, with both endings."""

import pytest

from ops.recover.procedure import procedure
from ops.runbook.steps import Step
from tests.support.running import kill_at, wait_for
from tests.support.site import Site

pytestmark = pytest.mark.recovery

STEPS = procedure("recover")


def number_of(step: Step) -> int:
    return STEPS.index(step) + 1


def test_killed_at_every_step_and_resumed(site: Site) -> None:
    """One recovery, killed as soon as each of its steps has begun."""
    site.new_ledger()
    ids = {commit.id for commit in site.write_for(0.2)}
    kill_at(site.stack.start_ops("recover", "--yes"), 1)
    for number, step in enumerate(STEPS[1:], 2):
        kill_at(site.stack.start_ops("recover", "--resume"), number)
        if step.final:
            refused = site.stack.ops("recover", "--abort", check=False)
            assert refused.returncode == 2
            assert "gone too far to be aborted" in " ".join(refused.stderr.split())
    (said,) = site.stack.follow("interrupted")
    assert "PROTECTED" in said
    assert site.ids() >= ids
    site.stack.assert_protected()


# What each of these leaves half-done is its own; in the others little can be left.
CORE = ("restore", "replay", "swap")


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(step, id=step.name, marks=() if step.name in CORE else pytest.mark.deep)
        for step in STEPS
        if not step.final
    ],
)
def test_killed_within_a_step_and_taken_back(site: Site, step: Step) -> None:
    site.new_ledger()
    ids = {commit.id for commit in site.write_for(0.2)}
    timeline = site.sql("SELECT timeline_id FROM pg_control_checkpoint()")
    # The last step that can be taken back is short: it may be over before the signal comes.
    kill_at(site.stack.start_ops("recover", "--yes"), number_of(step), 0.0 if step is LAST else 0.3)
    site.stack.ops("recover", "--abort")
    assert site.ids() == ids
    assert site.sql("SELECT timeline_id FROM pg_control_checkpoint()") == timeline
    site.stack.until_content()


LAST = [step for step in STEPS if not step.final][-1]


@pytest.mark.deep
@pytest.mark.parametrize("machine", ["postgres", "barman"])
@pytest.mark.parametrize("step", ["restore", "replay"])
def test_a_power_cut_within_a_step(site: Site, machine: str, step: str) -> None:
    site.new_ledger()
    ids = {commit.id for commit in site.write_for(0.2)}
    runbook = site.stack.start_ops("recover", "--yes")
    wait_for(runbook, number_of(next(s for s in STEPS if s.name == step)))
    site.stack.lab_command("kill", f"{machine}-lab")
    site.stack.lab_command("power-on", f"{machine}-lab")
    said, _ = runbook.communicate(timeout=600)
    # Where the step did not need the machine at that moment, the run just goes on.
    if runbook.returncode:
        assert runbook.returncode == 2, said
        site.finish()
    assert site.ids() == ids
    site.stack.until_content()
