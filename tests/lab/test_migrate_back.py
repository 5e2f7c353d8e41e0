"""`ops migrate cutover --reverse`, then `back` or `end`: nothing that was written meanwhile is lost
on the way back to the source."""

from collections.abc import Iterator

import pytest

from tests.support import managed_data, untidy
from tests.support.alerts import Inbox
from tests.support.ledger import Ledger
from tests.support.mover import Mover, said
from tests.support.site import Site
from tests.support.stack import POSTGRES
from tests.support.waiting import eventually

pytestmark = [pytest.mark.migration, pytest.mark.deep]

SHOP, ORDERS = managed_data.SHOP, managed_data.ORDERS
KEY = "postgres-barman:postgresParameters.wal_level"
# Rows in each of the ways in which a table that has a key can change.
CHANGES = """
INSERT INTO "Kunde" ("e-mail", name, plz, merkmale)
  SELECT 'neu' || i || '@example.org', 'O''Neil \\ ☃' || chr(10) || i, '12345', 'a=>"ö"'
  FROM generate_series(1, 50) AS i;
UPDATE "Kunde" SET name = name || '!' WHERE id % 100 = 0;
UPDATE "Kunde" SET id = DEFAULT WHERE id = 20001;
UPDATE anhang SET id = 2;
DELETE FROM auftrag WHERE id % 101 = 0;
UPDATE auftrag SET am = date '2026-07-01' WHERE id % 103 = 0;
INSERT INTO auftrag (am, kunde) SELECT date '2026-06-01', 1 FROM generate_series(1, 100);
UPDATE ereignis SET was = 'geändert' WHERE id <= 1000;
UPDATE vertraulich SET mandant = 'wer anders' WHERE id = 2;
SELECT nextval('rechnungsnummer') FROM generate_series(1, 5);
"""


@pytest.fixture(scope="module")
def logical(mover: Mover, followable: None) -> Iterator[None]:
    """Both databases are followed, and this server's wal_level is what a way back needs: said by
    whoever lacks it, then changed, for which PostgreSQL is restarted."""
    mover.give_password_there()
    mover.type("follow", *mover.source("--yes"))
    mover.give_password_here()
    refused = mover.failed("cutover", "--reverse", "--yes")
    assert "wal_level = logical" in refused and "Nothing was changed" in refused
    mover.stack.pulumi("config", "set", "--path", KEY, "logical")
    mover.stack.up()
    refused = mover.failed("cutover", "--reverse", "--yes")
    assert f"the prepared transaction {untidy.PREPARED} in" in refused
    untidy.in_odd(mover.stack, f"ROLLBACK PREPARED {untidy.PREPARED}")
    yield
    untidy.in_odd(mover.stack, untidy.PREPARE)
    mover.stack.pulumi("config", "rm", "--path", KEY)
    mover.stack.up()


def caught_up(mover: Mover) -> None:
    eventually(
        "the source to have everything",
        lambda: all(
            each["error"] is None and each["active"] and each["lag_bytes"] < 1 << 20
            for each in mover.way_back().values()
        ),
        120,
    )


def gone(mover: Mover) -> None:
    """Nothing of a way back is anywhere."""
    slots = "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical'"
    ours = "SELECT pubname FROM pg_publication WHERE pubname ~ '^ops'"
    schema = "SELECT nspname FROM pg_namespace WHERE nspname ~ '^ops'"
    assert mover.stack.sql(slots) == mover.managed.sql(slots) == ""
    for name in (SHOP, ORDERS):
        for what in (ours, schema):
            assert mover.stack.sql(what, name) == mover.managed.sql(what, name) == ""
    left = "ls /data/migration /etc/systemd/system/migration-* 2>/dev/null; true"
    assert mover.stack.on(POSTGRES, left) == ""


def cut_over(mover: Mover, site: Site) -> Ledger:
    """With a way back, and applications writing before and after; those here go on."""
    with mover.writing() as there:
        there.wait_for_more(50)
        cutover = mover.stack.start_ops("migrate", "cutover", "--reverse", "--yes")
        said(cutover, lambda line: "clients may connect" in line, 120)
    here = mover.writing_here(site).__enter__()
    output, _ = cutover.communicate(timeout=300)
    assert cutover.returncode == 0, output
    here.commits += there.commits
    return here


def test_nothing_is_lost_on_the_way_back(mover: Mover, site: Site, logical: None) -> None:
    """Whatever is killed or restarted meanwhile."""
    here = cut_over(mover, site)
    try:
        assert "migrate back" in mover.failed("abort", "--yes")
        for _ in range(4):
            mover.stack.on(POSTGRES, "systemctl kill --signal KILL migration-back")
            here.wait_for_more(100)
        mover.managed.restart()
        here.wait_for_more(50)
        mover.stack.on(POSTGRES, f"systemctl restart {mover.stack.unit}")
        here.wait_for_more(50, 60)
        mover.stack.sql(CHANGES, SHOP)
        with mover.managed.firewalled():
            here.wait_for_more(50)
        caught_up(mover)
        back = mover.stack.start_ops("migrate", "back", "--yes")
        output = said(back, lambda line: "clients may connect" in line, 120)
        assert "lager.zwischenspeicher" in output and "large objects" in output
    finally:
        here.stop()
    with mover.writing() as again:
        again.wait_for_more(50)
        rest, _ = back.communicate(timeout=120)
    assert back.returncode == 0, output + rest
    arrived = {int(line) for line in mover.managed.sql("SELECT id FROM ledger", SHOP).split()}
    assert here.ids | again.ids <= arrived
    # And nobody has written here since.
    assert max(c.sent for c in here.commits) < min(c.acknowledged for c in again.commits)
    found = mover.compare()
    rows = [each["name"] for one in found["databases"] for each in one["row_differences"]]
    assert rows == ["public.ledger"]
    gone(mover)
    mover.remove_here()


def test_a_way_back_is_given_up(mover: Mover, site: Site, inbox: Inbox, logical: None) -> None:
    mover.type("follow", *mover.source("--yes"))
    mover.give_password_here()
    cut_over(mover, site).stop()
    mover.stack.on(POSTGRES, "systemctl stop migration-back")
    for _ in range(5):
        mover.stack.sql(
            "SELECT pg_logical_emit_message(false, 'test', repeat('x', 64 << 20))", SHOP
        )
    inbox.wait_firing(("WayBackBehind", "postgres"))
    mover.stack.on(POSTGRES, "systemctl start migration-back")
    mover.stack.sql("ALTER SYSTEM SET wal_level = 'replica'")
    try:
        said = " ".join(mover.stack.ops("status", check=False).stdout.split())
        assert "could not be started again" in said
        assert 'but "wal_level" < "logical"' in said
    finally:
        mover.stack.sql("ALTER SYSTEM RESET wal_level")
    mover.type("end", "--yes")
    gone(mover)
    assert "No move is under way" in mover.failed("back", "--yes")
    mover.stack.until_content()
    mover.reopen()
    mover.remove_here()
