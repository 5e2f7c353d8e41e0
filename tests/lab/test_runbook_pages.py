"""The pages whose situation no other test makes, each followed to its last command."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.site import Site


@pytest.mark.monitoring
def test_pages_that_look(site: Site) -> None:
    site.stack.follow("commits-go-on-alone")
    # What earlier tests did may still be an alert.
    deadline = time.monotonic() + 600
    while site.stack.ops("alerts", check=False).returncode == 2 and time.monotonic() < deadline:
        time.sleep(5)
    site.stack.follow("monitoring-is-silent")
    site.stack.follow("drill-failed")


@pytest.mark.monitoring
def test_a_disk_that_fills(site: Site) -> None:
    with site.filled("barman-lab", 5 * 2**30):
        (said,) = site.stack.follow("disk-is-filling")
    assert "5.0 GiB" in said


@pytest.mark.durability
def test_the_slot_is_gone(site: Site) -> None:
    site.on_barman("mv /etc/cron.d/barman /root/ && pkill -u barman -x pg_receivewal")
    site.sql("SELECT pg_drop_replication_slot('barman')")
    site.on_barman("mv /root/barman /etc/cron.d/")
    assert site.stack.ops("status", check=False).returncode == 2
    site.stack.follow("backups-do-not-arrive")
    site.stack.assert_protected()


@pytest.mark.backup
def test_a_segment_is_missing(site: Site) -> None:
    site.stack.ops("backup", "--wait")
    with without_the_newest_segment(site):
        site.stack.follow("wal-has-a-hole")
        assert "gap before it" in site.stack.ops("window").stdout
    site.stack.assert_protected()


@contextmanager
def without_the_newest_segment(site: Site) -> Iterator[None]:
    """One archived segment after the newest backup is not there."""
    site.stack.barman("switch-wal", "--force", "--archive", "pg")
    path = site.on_barman("ls -1 /data/barman/pg/wals/*/*[0-9A-F] | tail -1")
    site.stack.barman("switch-wal", "--force", "--archive", "pg")
    site.on_barman(f"mv {path} /root/hole")
    try:
        yield
    finally:
        site.on_barman(f"mv /root/hole {path}")


@pytest.mark.provider
def test_what_is_not_needed_any_more_goes_only_by_its_own_words(site: Site) -> None:
    # A mere yes is not what it asks for.
    site.stack.follow("tearing-down", codes={1: 2})
    assert site.sql("SELECT 1") == "1"
