"""Settings made by hand: as they were after a recovery, and none that keeps a server from starting.

(An archive_command and others of the operator's own: test_recovery_untidy.py.)
"""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.site import UNIT, Site

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
    said = " ".join(site.recover().split())
    assert "LEFT OUT" in said
    assert 'could not access file "nosuch"' in said
    assert site.ids() >= ids
    assert site.sql("SHOW shared_preload_libraries") == ""
    # The others stay.
    assert site.sql("SHOW timezone") == "Europe/Vienna"
    site.stack.assert_protected()
    site.on_postgres(f"systemctl restart {UNIT}")
    site.stack.until_content()
