"""A past state beside the running server."""

import time
from pathlib import Path

from tests.lab.recovery_site import Stack, moment, read


def test_a_clone_shows_the_dropped_table_beside_the_running_server(
    site: Stack, tmp_path: Path
) -> None:
    site.new_ledger()
    ids = {e.id for e in site.write_for(tmp_path / "ledger", 0.5)}
    time.sleep(1.0)
    before_drop = time.time()
    time.sleep(0.5)
    site.sql("DROP TABLE ledger")
    site.new_ledger()
    with site.writing(tmp_path / "meanwhile"):
        site.ops("clone", "--target-time", moment(before_drop))
        look = "psql -X -A -t -h /data/clones/clone -p 5433 -d app -c 'SELECT id FROM ledger'"
        shown = site.on_postgres(f"cd /; runuser -u postgres -- {look}")
        site.wait_for_rows(tmp_path / "meanwhile", 20)
    assert {int(line) for line in shown.split()} == ids
    assert site.ids() == {e.id for e in read(tmp_path / "meanwhile")}
    site.ops("clone", "--drop")
    assert site.on_postgres("ls /data/clones") == ""
    site.assert_protected()
