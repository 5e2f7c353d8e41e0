"""A past state beside the running server."""

import time

import pytest

from tests.support.ledger import moment
from tests.support.site import Site
from tests.support.waiting import eventually

pytestmark = pytest.mark.recovery


def test_a_clone_gives_back_a_dropped_table_beside_the_running_server(site: Site) -> None:
    site.new_ledger()
    site.sql("CREATE TABLE orders AS SELECT generate_series(1, 1000) AS id")
    time.sleep(1.0)
    before_drop = time.time()
    time.sleep(0.5)
    site.sql("DROP TABLE orders")

    def the_server_goes_on() -> None:
        assert site.in_clone("SELECT max(id) FROM orders") == "1000"
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


def test_a_clone_has_tablespaces_of_its_own(site: Site) -> None:
    """Replay of CREATE TABLESPACE, and of what follows, uses the paths of the running server."""
    place = "/data/made after the backup"
    site.new_ledger()
    site.stack.new_backup()
    site.on_postgres(f"install -d -o postgres -g postgres -m 0700 '{place}'")
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
        sums = f"find '{place}' -type f -exec md5sum {{}} +"
        rows, files = site.sql(seen), site.on_postgres(sums)
        said = site.stack.ops("clone", "--target-time", moment(before)).stdout
        assert f"the WAL makes a tablespace at {place}" in said
        assert site.in_clone(seen) == f"20000|{20000 * 20001 // 2}"
        site.in_clone("DELETE FROM elsewhere; CHECKPOINT")
        assert site.on_postgres(sums) == files
        site.on_postgres(f"systemctl restart {site.stack.unit}")
        assert site.sql(seen) == rows
        site.stack.ops("clone", "--drop")
        assert site.on_postgres(sums) == files
    finally:
        site.sql("DROP TABLE IF EXISTS elsewhere")
        site.sql("DROP TABLESPACE extra")
        site.on_postgres(f"rm -r '{place}'")
    site.stack.until_content()


def test_a_clone_can_harm_nothing(site: Site) -> None:
    """Whoever is superuser in it tries to get out."""
    site.stack.ops("clone", "--immediate")
    barman = site.stack.outputs["barman"]["privateAddress"]
    data = site.stack.outputs["postgres"]["dataDirectory"]
    postmaster = site.on_postgres(f"head -n 1 {data}/postmaster.pid")
    try:
        for name, value in (
            ("listen_addresses", ""),
            ("archive_mode", "off"),
            ("max_logical_replication_workers", "0"),
            ("shared_preload_libraries", ""),
            ("shared_buffers", "128MB"),
        ):
            assert site.in_clone(f"SHOW {name}") == value
        for path, said in (
            ("/data/postgresql/by-a-clone", "No such file or directory"),
            ("/var/lib/postgresql/by-a-clone", "Read-only file system"),
        ):
            escape = f"psql -d postgres -c \"COPY (SELECT 1) TO '{path}'\" 2>&1; true"
            assert said in site.as_clone(escape)
        for program, said in (
            (f"bash -c 'exec 3<>/dev/tcp/{barman}/22'", "Network is unreachable"),
            (f"kill -0 {postmaster}", "No such process"),
            ("env -u PGPORT psql -h /run/postgresql -c SELECT", "Permission denied"),
        ):
            into = f"COPY said FROM PROGRAM $${program} 2>&1 | head -n 1$$"
            escape = f"CREATE TEMP TABLE said (t text); {into}; TABLE said"
            assert said in site.in_clone(escape)
            # The running server's superuser can.
            assert said not in site.sql(escape)
        assert site.on_postgres("find /data/postgresql /var/lib/postgresql -name by-a-clone") == ""
        # Nor does it fill the disk.
        running = "systemctl is-active runbook-clone-clone"
        assert site.on_postgres(running) == "active"
        with site.filled("postgres-lab", 500 * 2**20):
            eventually(
                "the clone to be stopped",
                lambda: site.stack.on("postgres-lab", running, check=False) == "inactive",
            )
    finally:
        site.stack.ops("clone", "--drop")
    assert site.on_postgres("ls /data/clones /run/restored-copies") == (
        "/data/clones:\n\n/run/restored-copies:"
    )
