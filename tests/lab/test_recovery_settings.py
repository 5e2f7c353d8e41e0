"""Settings made by hand: as they were after a recovery, and none that keeps a server from starting.

(An archive_command and others of the operator's own: test_recovery_untidy.py.)
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from host.domain.paths import DRILL_HISTORY
from tests.support.site import Site

pytestmark = pytest.mark.recovery

NOT_THERE = "ALTER SYSTEM SET shared_preload_libraries = 'nosuch'"


@contextmanager
def pending(site: Site) -> Iterator[None]:
    """A setting with which PostgreSQL will not start again, not noticed yet."""
    site.sql(NOT_THERE)
    try:
        yield
    finally:
        site.sql("ALTER SYSTEM RESET shared_preload_libraries")


@contextmanager
def needed(site: Site, library: str) -> Iterator[None]:
    """The last drill has seen that the database needs it."""
    record = {"at": "2026-05-01T12:00:00+00:00", "outcome": "passed", "libraries": [library]}
    record |= dict.fromkeys(["backup_id", "reason", "target_time"])
    record |= dict.fromkeys(["rto_s", "rpo_s", "restored_bytes"])
    line = json.dumps(record)
    site.on_barman(f"touch {DRILL_HISTORY}; cp -p {DRILL_HISTORY} /root/drills.jsonl")
    site.on_barman(f"echo '{line}' >>{DRILL_HISTORY}")
    try:
        yield
    finally:
        site.on_barman(f"mv /root/drills.jsonl {DRILL_HISTORY}")


def test_a_server_that_could_not_be_started_again_is_not_stopped(site: Site) -> None:
    with pending(site):
        said = site.refused()
        assert "could not be started again" in said
        assert 'could not access file "nosuch"' in said
        assert "Nothing was changed." in said
        assert site.on_postgres("ls /data/clones") == ""
    # One that is only not applied yet is nothing to refuse for.
    site.sql("ALTER SYSTEM SET max_connections = 177")
    site.stack.ops("recover", "--dry-run")
    site.sql("ALTER SYSTEM RESET max_connections")


def test_settings_that_keep_the_restored_server_from_starting_are_left_out(site: Site) -> None:
    site.new_ledger()
    with pending(site):
        site.stack.new_backup()
    ids = {commit.id for commit in site.write_for(0.2)}
    site.lose_data()
    with needed(site, "$libdir/nosuch"):
        planned = " ".join(site.stack.ops("recover", "--dry-run").stdout.split())
    assert "has no library $libdir/nosuch, which the database needs" in planned
    said = " ".join(site.recover().split())
    assert "LEFT OUT" in said
    assert 'could not access file "nosuch"' in said
    assert site.ids() >= ids
    assert site.sql("SHOW shared_preload_libraries") == "pg_stat_statements"
    # The others stay.
    assert site.sql("SHOW timezone") == "Europe/Vienna"
    site.stack.assert_protected()
    site.on_postgres(f"systemctl restart {site.stack.unit}")
    site.stack.until_content()
