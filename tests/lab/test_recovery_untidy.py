"""A recovery and a clone of a server as real ones are, not as tests make them."""

import pytest

from tests.support.site import Site
from tests.support.untidy import ODD, SETTINGS, untidy

pytestmark = pytest.mark.recovery

WORKERS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE $$logical%$$"


def in_clone(site: Site, query: str) -> str:
    ask = "psql -X -A -t -h /data/clones/clone -p 5433 -d postgres"
    return site.on_postgres(f"cd /; runuser -u postgres -- {ask} -c '{query}'")


def test_an_untidy_server_is_recovered_and_cloned(site: Site) -> None:
    site.new_ledger()
    with untidy(site):
        site.stack.until_content()
        site.stack.new_backup()
        ids = {commit.id for commit in site.write_for(0.2)}
        said = " ".join(site.recover().split())
        assert "half dropped: half_dropped" in said
        assert "prepared transactions hold their locks: unfinished business" in said
        assert "could NOT be checked" not in said
        assert site.ids() == ids
        for name, value in SETTINGS.items():
            assert site.sql(f"SHOW {name}", "app") == value
        site.stack.assert_protected()
        site.stack.ops("clone", "--immediate")
        assert ODD in in_clone(site, "SELECT datname FROM pg_database").splitlines()
        assert in_clone(site, WORKERS) == "0"
        site.stack.ops("clone", "--drop")
    site.stack.until_content()
