"""Local snapshots: a recovery or a clone that begins with one, and what becomes of bad ones."""

import json
import time
from typing import Any

import pytest

from tests.support.ledger import moment
from tests.support.site import Site
from tests.support.untidy import in_odd
from tests.support.waiting import eventually

pytestmark = pytest.mark.recovery

FOLDER = "/data/snapshots"


def take(site: Site) -> str:
    """A new one's id."""
    said = site.stack.ops("snapshot").stdout
    return said.partition(":")[0]


def listed(site: Site) -> dict[str, dict[str, Any]]:
    """All of them, by id."""
    found = json.loads(site.stack.ops("snapshots", "--json").stdout)
    return {each["id"]: each for each in found["snapshots"]}


def drop_all(site: Site) -> None:
    for name in listed(site):
        site.stack.ops("snapshots", "--drop", name)
    assert site.on_postgres(f"ls {FOLDER}") == ""


def sums(site: Site, name: str) -> str:
    return site.on_postgres(f"cd {FOLDER}/{name}; find . -type f | sort | xargs -d '\\n' md5sum")


def plan(site: Site, *words: str) -> str:
    """On one line."""
    return " ".join(site.stack.ops("recover", "--dry-run", *words).stdout.split())


def test_a_recovery_begins_with_the_newest_snapshot_before_its_target(site: Site) -> None:
    site.new_ledger()
    site.stack.new_backup()
    with site.writing(2) as ledger:
        ledger.wait_for_more(20, 60)
        name = take(site)
        ledger.wait_for_more(20, 60)
    time.sleep(1.0)
    before = time.time()
    time.sleep(0.5)
    site.sql("DROP TABLE ledger")
    later = take(site)
    assert all(each["restorable"] for each in listed(site).values())
    as_it_was = sums(site, name)
    said = plan(site, "--target-time", moment(before))
    assert f"from local {name}" in said and "every file is there" in said
    assert f"from local {later}" in plan(site)
    timeline = site.sql("SELECT timeline_id FROM pg_control_checkpoint()")
    site.recover("--target-time", moment(before))
    assert site.ids() == ledger.ids
    said = plan(site, "--timeline", timeline)
    assert f"the last commit on timeline {timeline}, which is NOT the newest" in said
    assert "everything committed on timeline" in said and "nothing" not in said
    # In a tablespace, too.
    assert in_odd(site.stack, "SELECT count(*) FROM there") == "1000"
    assert sums(site, name) == as_it_was
    site.stack.assert_protected()
    # What it was before, from the same one: the timeline that it is on was left since.
    assert name in listed(site)
    site.stack.ops("undo", "--yes")
    assert site.sql("SELECT to_regclass('ledger') IS NULL") == "t"
    site.stack.assert_protected()
    drop_all(site)


def test_a_clone_of_a_snapshot_changes_neither_it_nor_the_server(site: Site) -> None:
    site.new_ledger()
    name = take(site)
    with site.writing(1) as ledger:
        ledger.wait_for_more(20, 60)
    site.stack.archived_segment()
    as_it_was = sums(site, name)
    last = site.sql("SELECT pg_current_wal_insert_lsn()")
    site.sql("SELECT pg_switch_wal(); INSERT INTO ledger VALUES (-1)")
    site.stack.archived_segment()
    try:
        said = site.stack.ops("clone", "--target-lsn", last).stdout
        assert f"from local {name}" in said
        assert site.in_clone("SELECT count(*) FROM ledger") == str(len(ledger.ids))
        site.in_clone("DELETE FROM ledger; CHECKPOINT")
        assert sums(site, name) == as_it_was
        assert site.ids() == ledger.ids | {-1}
    finally:
        site.stack.ops("clone", "--drop")
    drop_all(site)


@pytest.mark.deep
def test_a_bad_snapshot_is_passed_over(site: Site) -> None:
    site.stack.new_backup()
    older, newer = take(site), ""
    time.sleep(1.1)
    newer = take(site)
    assert f"from local {newer}" in plan(site)
    site.on_postgres(f"chmod 000 {FOLDER}/{newer}/data/base")
    said = plan(site)
    assert f"from local {older}" in said
    assert f"{newer} is damaged and passed over: {FOLDER}/{newer}/data/base: Permission" in said
    site.on_postgres(f"rm {FOLDER}/{older}/data/global/pg_control")
    said = plan(site)
    assert "from backup" in said and f"{older} is damaged and passed over" in said
    assert not any(each["restorable"] for each in listed(site).values())
    site.on_postgres(f"chmod 700 {FOLDER}/{newer}/data/base")
    assert f"from local {newer}" in plan(site)
    # What does not run may have been hit together with its snapshot.
    site.on_postgres(f"systemctl stop {site.stack.unit}")
    try:
        said = plan(site)
        assert "from backup" in said and f"{newer} is passed over, for PostgreSQL does not" in said
        assert f"from local {newer}" in plan(site, "--backup-id", newer)
    finally:
        site.on_postgres(f"systemctl start {site.stack.unit}")
    drop_all(site)
    site.stack.until_content()


@pytest.mark.deep
def test_one_that_is_killed_leaves_nothing(site: Site) -> None:
    for seconds in ("0.1", "0.2", "0.3", "0.5"):
        site.on_postgres(
            "cd /; runuser -u postgres -- timeout --foreground -s KILL "
            f"{seconds} /usr/local/sbin/local-snapshots take >/dev/null 2>&1 || true"
        )
    whole = set(listed(site))
    eventually(
        "what was cut off to be removed",
        lambda: set(site.on_postgres(f"ls {FOLDER}").split()) == whole,
    )
    in_backup = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'local-snapshots'"
    eventually("the sessions to end", lambda: site.sql(in_backup) == "0")
    drop_all(site)


@pytest.mark.deep
def test_they_go_before_the_disk_is_full(site: Site) -> None:
    oldest = take(site)
    with site.filled("postgres-lab", 500 * 2**20):
        eventually("it to go", lambda: site.on_postgres(f"ls {FOLDER}") == "", 60)
        done = site.stack.ops("snapshot", check=False)
        assert done.returncode == 2
        assert "snapshots leave a fifth of the disk free" in " ".join(done.stderr.split())
    log = site.on_postgres("journalctl -q --no-pager -o cat -u local-snapshots")
    assert f"{oldest} is removed" in log
    site.stack.until_content()
