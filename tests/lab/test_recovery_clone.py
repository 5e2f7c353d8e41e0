"""A past state beside the running server."""

import time
from pathlib import Path

from tests.lab.recovery_site import Stack, moment, read


def test_a_clone_gives_back_a_dropped_table_beside_the_running_server(
    site: Stack, tmp_path: Path
) -> None:
    site.new_ledger()
    site.sql("CREATE TABLE orders AS SELECT generate_series(1, 1000) AS id")
    time.sleep(1.0)
    before_drop = time.time()
    time.sleep(0.5)
    site.sql("DROP TABLE orders")
    began = len(read(tmp_path / "meanwhile"))

    def the_server_goes_on() -> None:
        look = "psql -X -A -t -h /data/clones/clone -p 5433 -d app -c 'SELECT max(id) FROM orders'"
        assert site.on_postgres(f"cd /; runuser -u postgres -- {look}") == "1000"
        site.wait_for_rows(tmp_path / "meanwhile", began + 20)

    with site.writing(tmp_path / "meanwhile"):
        site.up.follow(
            "someone-dropped-a-table",
            {"2026-05-01 14:29:00+00:00": moment(before_drop)},
            after={1: the_server_goes_on},
        )
    assert site.sql("SELECT count(*) FROM orders") == "1000"
    assert site.ids() == {e.id for e in read(tmp_path / "meanwhile")}
    assert site.on_postgres("ls /data/clones") == ""
    site.sql("DROP TABLE orders")
    site.assert_protected()
