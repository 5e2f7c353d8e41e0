"""A recovery and a clone of a server as real ones are, not as tests make them."""

import pytest

from tests.support.site import Site
from tests.support.untidy import MORE_SETTINGS, ODD, SETTINGS, in_odd, untidier

pytestmark = pytest.mark.recovery

WORKERS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'logical%'"
LATER = "/data/later"


def rows(site: Site) -> str:
    """What is in the table in a tablespace, whatever its database says of time-outs."""
    return in_odd(site.stack, "SELECT count(*) FROM there")


def test_an_untidy_server_is_recovered_cloned_and_undone(site: Site) -> None:
    site.new_ledger()
    with untidier(site):
        site.stack.new_backup()
        site.on_postgres(f"install -d -o postgres -g postgres -m 0700 {LATER}")
        site.sql(f"CREATE TABLESPACE later LOCATION '{LATER}'")
        site.sql("CREATE TABLE moved TABLESPACE later AS SELECT generate_series(1, 500) AS id")
        ids = {commit.id for commit in site.write_for(0.2)}
        said = " ".join(site.recover().split())
        assert f"come back empty unlogged tables: {ODD}.public.lost_on_recovery" in said
        assert "half dropped: half_dropped" in said
        assert "prepared transactions hold their locks: unfinished business" in said
        assert said.count("could NOT be checked") == 1
        assert "could NOT be checked: closed (it allows no connections)" in said
        assert "replication slots will be gone: " in said
        assert site.ids() == ids
        for name, value in {**SETTINGS, **MORE_SETTINGS}.items():
            assert site.sql(f"SHOW {name}", "app") == value
        assert rows(site) == "1000"
        assert site.sql("SELECT count(*) FROM moved") == "500"
        site.stack.assert_protected()
        site.stack.ops("clone", "--immediate")
        assert ODD in site.in_clone("SELECT datname FROM pg_database").splitlines()
        assert site.in_clone(WORKERS, "postgres") == "0"
        assert site.in_clone("SELECT count(*) FROM moved") == "500"
        site.stack.ops("clone", "--drop")
        # What was written into tablespaces since is there again as well.
        site.sql("INSERT INTO moved SELECT generate_series(501, 600)")
        site.stack.ops("undo", "--yes")
        assert site.sql("SELECT count(*) FROM moved") == "500"
        assert rows(site) == "1000"
        site.sql("DROP TABLE moved")
        site.sql("DROP TABLESPACE later")
    site.stack.until_content()
    # The settings of the newest backup are those of a server whose data is lost.
    site.stack.new_backup()
