"""`ops migrate copy`: all comes along, a killed copy goes on, one taken back leaves nothing."""

import re
import time

import pytest

from tests.support import managed_data
from tests.support.managed_service import ADMIN, PASSWORD
from tests.support.mover import Mover
from tests.support.stack import BARMAN, POSTGRES

pytestmark = [pytest.mark.migration, pytest.mark.deep]

STAGES = ("definitions", "rows", "large objects", "indexes and constraints", "materialized views")


@pytest.fixture(scope="module")
def before(mover: Mover) -> str:
    """How things were."""
    return mover.everything()


def test_following_is_refused_before_anything_is_touched(mover: Mover, before: str) -> None:
    said = mover.failed("follow", *mover.source("--yes"))
    assert "wal_level is replica, not logical" in said and "may not replicate" in said
    assert "Nothing was changed." in said
    assert mover.everything() == before


def test_a_copy_taken_back_leaves_nothing(mover: Mover, before: str) -> None:
    mover.kill_at("rows")
    process = mover.begin("copy")
    process.wait(120)
    assert process.returncode == 2
    mover.type("abort", "--yes")
    assert mover.everything() == before


@pytest.mark.parametrize("stage", STAGES)
def test_a_copy_killed_at_any_stage_goes_on(mover: Mover, before: str, stage: str) -> None:
    mover.kill_at(stage)
    process = mover.begin("copy")
    process.wait(120)
    assert process.returncode == 2
    again = mover.type("copy", "--resume").stdout
    assert "identical" in again
    mover.identical()
    undo(mover, before)


def undo(mover: Mover, before: str) -> None:
    mover.remove_here()
    assert mover.everything() == before


def test_the_operators_computer_may_go_away(mover: Mover, before: str) -> None:
    process = mover.begin("copy")
    mover.until_stage("rows")
    process.kill()
    process.wait()
    # Its lock expires a minute later.
    time.sleep(65)
    said = mover.type("copy", "--resume").stdout
    assert "identical" in said
    undo(mover, before)


def test_what_was_written_meanwhile_is_named_and_copied_again(mover: Mover, before: str) -> None:
    """A copy with the application still at work: not identical, and no word of success."""
    process = mover.begin("copy")
    mover.until_stage("indexes and constraints")
    mover.managed.sql("UPDATE vertraulich SET mandant = 'anders' WHERE id = 2", managed_data.SHOP)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 2, output
    plain = " ".join(output.split())
    assert "public.vertraulich: 2 rows there, 2 here" in plain
    assert "stop the applications at the source, then python -m ops migrate copy --resume" in plain
    said = mover.type("copy", "--resume").stdout
    assert "1 tables copied again" in said and "identical" in said
    mover.managed.sql("UPDATE vertraulich SET mandant = 'jemand' WHERE id = 2", managed_data.SHOP)
    undo(mover, before)


def test_a_source_that_cannot_be_reached_any_more(mover: Mover, before: str) -> None:
    process = mover.begin("copy")
    mover.until_stage("definitions")
    with mover.managed.firewalled():
        output, _ = process.communicate(timeout=400)
    assert process.returncode == 2, output
    assert "Next:" in output and "migrate copy --resume" in " ".join(output.split())
    assert "identical" in mover.type("copy", "--resume").stdout
    undo(mover, before)


def test_a_source_that_is_restarted(mover: Mover, before: str) -> None:
    process = mover.begin("copy")
    mover.until_stage("rows")
    mover.managed.restart()
    output, _ = process.communicate(timeout=300)
    if process.returncode:
        assert "migrate copy --resume" in " ".join(output.split())
        mover.type("copy", "--resume")
    mover.identical()
    undo(mover, before)


def test_what_is_copied_is_protected(mover: Mover, before: str) -> None:
    """The page, undisturbed: identical, a full backup, protected, and a drill passes."""
    (said,) = mover.follow("moving-in-stopped")
    assert "identical" in said and re.search(r"backup \d{8}T\d{6} is DONE", said)
    assert "PROTECTED" in said
    for role in (managed_data.OWNER, ADMIN, "report@example.org"):
        assert f'\\password "{role}"' in " ".join(said.split())
    assert PASSWORD not in said
    mover.stack.until_content()
    mover.stack.on(BARMAN, "systemctl start restore-drill")
    assert "migration" not in mover.stack.on(POSTGRES, "ls -A /data")
    undo(mover, before)
