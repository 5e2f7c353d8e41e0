"""Without a target: the last commit that Barman has received, whatever happened to the server."""

import time

import pytest

from tests.support.site import Site

pytestmark = pytest.mark.recovery

# A commit acknowledged this long before a crash has been received by a receiver that keeps up.
RECEIVED_WITHIN_S = 2.0


def test_latest_after_a_crash_and_the_loss_of_the_data(site: Site) -> None:
    site.new_ledger()
    with site.writing(1) as ledger:
        ledger.wait_for_more(300, 60)
        crashed = time.time()
        site.lose_data()
    (said,) = site.stack.follow("data-is-gone")
    present = site.ids()
    missing = sorted(ledger.ids - present)
    print(f"{len(ledger.commits)} acknowledged, {len(missing)} missing: {missing[:5]}")
    received = {c.id for c in ledger.commits if c.after < crashed - RECEIVED_WITHIN_S}
    assert received <= present
    assert missing == [] or missing[0] > max(present)
    assert "PROTECTED" in said
    site.stack.assert_protected()


def test_latest_of_a_running_server_loses_nothing(site: Site) -> None:
    site.new_ledger()
    with site.writing(1) as ledger:
        ledger.wait_for_more(100, 60)
        site.stack.ops("recover", "--yes")
        ledger.wait_for_more(20, 60)
    assert site.lost(ledger) == set()


def test_settings_that_were_higher_at_the_backup_and_higher_still_after_it(site: Site) -> None:
    """Replay asks for none of them; afterwards the configured value counts."""
    # After the stack's own, pulumi.conf.
    by_hand = f"{site.stack.configuration}/conf.d/zy-by-hand.conf"

    def connections(number: int) -> None:
        site.on_postgres(
            f"echo max_connections = {number} >{by_hand}; systemctl restart {site.stack.unit}"
        )
        assert site.sql("SHOW max_connections") == str(number)

    site.new_ledger()
    configured = site.sql("SHOW max_connections")
    try:
        connections(int(configured) + 50)
        site.stack.until_content()
        site.stack.new_backup()
        connections(int(configured) + 100)
        ids = {commit.id for commit in site.write_for(0.2)}
    finally:
        site.on_postgres(f"rm -f {by_hand}; systemctl restart {site.stack.unit}")
    ids |= {commit.id for commit in site.write_for(0.2)}
    site.lose_data()
    site.recover()
    assert site.ids() == ids
    assert site.sql("SHOW max_connections") == configured
    site.stack.assert_protected()
