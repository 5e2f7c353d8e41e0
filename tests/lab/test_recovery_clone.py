"""A past state beside the running server."""

import time

import pytest

from tests.support.ledger import moment
from tests.support.site import Site

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
