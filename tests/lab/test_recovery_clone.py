"""A past state beside the running server."""

import time

import pytest

from tests.support.ledger import moment
from tests.support.site import UNIT, Site

pytestmark = pytest.mark.recovery


def test_a_clone_gives_back_a_dropped_table_beside_the_running_server(site: Site) -> None:
    site.new_ledger()
    site.sql("CREATE TABLE orders AS SELECT generate_series(1, 1000) AS id")
    time.sleep(1.0)
    before_drop = time.time()
    time.sleep(0.5)
    site.sql("DROP TABLE orders")

    def the_server_goes_on() -> None:
        look = "psql -X -A -t -h /data/clones/clone -p 5433 -d app -c 'SELECT max(id) FROM orders'"
        assert site.on_postgres(f"cd /; runuser -u postgres -- {look}") == "1000"
        ledger.wait_for_more(20, 60)

    with site.writing(1) as ledger:
        site.stack.follow(
            "someone-dropped-a-table",
            {"2026-05-01 14:29:00+00:00": moment(before_drop)},
            after={1: the_server_goes_on},
        )
    assert site.sql("SELECT count(*) FROM orders") == "1000"
    assert site.ids() == ledger.ids
    assert site.on_postgres("ls /data/clones") == ""
    site.sql("DROP TABLE orders")
    site.stack.assert_protected()


def test_a_clone_writes_nothing_where_the_server_has_a_tablespace(site: Site) -> None:
    """Replay of CREATE TABLESPACE and of what follows uses the paths of the running server."""
    place = "/data/extra-tablespace"
    site.new_ledger()
    site.stack.new_backup()
    site.on_postgres(f"install -d -o postgres -g postgres -m 0700 {place}")
    site.sql(f"CREATE TABLESPACE extra LOCATION '{place}'")
    try:
        site.sql(
            "CREATE TABLE elsewhere TABLESPACE extra AS SELECT generate_series(1, 20000) AS id"
        )
        time.sleep(1.0)
        before = time.time()
        time.sleep(0.5)
        site.sql(
            "UPDATE elsewhere SET id = -id WHERE id % 2 = 0; DELETE FROM elsewhere WHERE id > 9000"
        )
        site.sql("VACUUM elsewhere")
        site.sql("CHECKPOINT")
        site.stack.archived_segment()
        seen = "SELECT count(*), sum(id) FROM elsewhere"
        rows, files = site.sql(seen), site.on_postgres(f"find {place} -type f -exec md5sum {{}} +")
        cloned = site.stack.ops("clone", "--target-time", moment(before), check=False)
        assert cloned.returncode == 2
        assert place in cloned.stdout + cloned.stderr
        assert site.on_postgres(f"find {place} -type f -exec md5sum {{}} +") == files
        site.on_postgres(f"systemctl restart {UNIT}")
        assert site.sql(seen) == rows
        assert site.on_postgres("ls /data/clones") == ""
        # Nor may a recovery, whose old data directory goes on using those files.
        assert "The server has tablespaces" in site.refused()
        assert "tablespaces: extra" in site.stack.reasons()
    finally:
        site.sql("DROP TABLE IF EXISTS elsewhere")
        site.sql("DROP TABLESPACE extra")
        site.on_postgres(f"rm -r {place}")
    site.stack.until_content()
    # A backup from before it is of no use for a clone any more.
    site.stack.new_backup()


def test_a_clone_runs_nothing_of_its_own_accord(site: Site) -> None:
    site.stack.ops("clone", "--immediate")
    try:
        ask = "psql -X -A -t -h /data/clones/clone -p 5433 -d postgres"
        for name, value in (
            ("listen_addresses", ""),
            ("archive_mode", "off"),
            ("max_logical_replication_workers", "0"),
            ("shared_preload_libraries", ""),
        ):
            shown = site.on_postgres(f"cd /; runuser -u postgres -- {ask} -c 'SHOW {name}'")
            assert shown == value, name
        copied = "COPY (SELECT 1) TO '/data/postgresql/by-a-clone'"
        refused = f'cd /; runuser -u postgres -- {ask} -c "{copied}" 2>&1 || true'
        assert "No such file or directory" in site.on_postgres(refused)
        copied = "COPY (SELECT 1) TO '/var/lib/postgresql/by-a-clone'"
        refused = f'cd /; runuser -u postgres -- {ask} -c "{copied}" 2>&1 || true'
        assert "Read-only file system" in site.on_postgres(refused)
    finally:
        site.stack.ops("clone", "--drop")
