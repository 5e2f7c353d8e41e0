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


def test_an_extension_with_rows_of_its_own_comes_along(mover: Mover, before: str) -> None:
    """PostGIS: types and indexes of its own, and a table into which everybody writes theirs."""
    install = "DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends"
    mover.managed.on(f"{install} postgresql-15-postgis-3")
    mover.managed.sql(f'CREATE DATABASE places OWNER "{ADMIN}"')
    try:
        mover.managed.sql(PLACES, "places")
        mover.managed.sql(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {ADMIN}", "places")
        said = mover.failed("copy", *mover.source("--yes", "--database", "places"))
        assert "no extension postgis" in said
        assert "sudo apt-get install postgresql-17-postgis-3" in said
        mover.stack.on(POSTGRES, f"{install} postgresql-17-postgis-3")
        said = mover.type("copy", *mover.source("--yes", "--database", "places")).stdout
        assert "identical" in said
        for sql in (NEAR, "SELECT srtext FROM spatial_ref_sys WHERE srid = 990001"):
            assert mover.stack.sql(sql, "places") == mover.managed.sql(sql, "places") != ""
        mover.stack.until_content()
    finally:
        mover.managed.sql("DROP DATABASE places")
        mover.stack.sql("DROP DATABASE IF EXISTS places WITH (FORCE)")
        for role in (managed_data.OWNER, managed_data.READER, ADMIN, "report@example.org"):
            mover.stack.sql(f'DROP ROLE IF EXISTS "{role}"')
        mover.stack.on(POSTGRES, "apt-get purge -q -y --auto-remove postgresql-17-postgis-3")
    assert mover.everything() == before


PLACES = f"""
CREATE EXTENSION postgis;
INSERT INTO spatial_ref_sys (srid, auth_name, auth_srid, srtext, proj4text)
  VALUES (990001, 'ours', 1, 'LOCAL_CS["the yard"]', '+proj=longlat');
CREATE TABLE places (id int PRIMARY KEY, at geometry(Point, 4326) NOT NULL);
INSERT INTO places SELECT n, ST_SetSRID(ST_MakePoint(n % 180, n % 90), 4326)
  FROM generate_series(1, 20000) AS n;
CREATE INDEX ON places USING gist (at);
ALTER TABLE places OWNER TO "{ADMIN}";
"""  # noqa: S608 - a constant
NEAR = """
SELECT string_agg(id::text, ',' ORDER BY id) FROM places
WHERE ST_DWithin(at, ST_SetSRID(ST_MakePoint(10, 10), 4326), 1)
"""
