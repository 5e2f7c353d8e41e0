"""`ops migrate follow` and `cutover`: writes go on until a moment, and none is lost."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support import managed_data
from tests.support.alerts import Inbox
from tests.support.mover import Mover, said
from tests.support.site import Site
from tests.support.stack import POSTGRES
from tests.support.waiting import eventually

pytestmark = [pytest.mark.migration, pytest.mark.deep]

SHOP = managed_data.SHOP
# Rows in each of the ways in which a table can change.
CHANGES = """
UPDATE "Kunde" SET name = name || '!' WHERE id % 100 = 0;
DELETE FROM auftrag WHERE id % 101 = 0;
INSERT INTO auftrag (am, kunde) SELECT date '2026-06-01', 1 FROM generate_series(1, 100);
UPDATE ereignis SET was = 'geändert' WHERE id <= 1000;
INSERT INTO lager."log ohne Schlüssel" (was) VALUES ('{"nachher": true}');
UPDATE lager.zwischenspeicher SET wert = decode('ff', 'hex');
SELECT lo_from_bytea(0, 'nachher');
SELECT nextval('rechnungsnummer') FROM generate_series(1, 5);
TRUNCATE leer;
"""


@pytest.fixture(scope="module")
def before(mover: Mover, followable: None) -> str:
    """How things were."""
    mover.give_password_there()
    return mover.everything()


@pytest.fixture
def followed(mover: Mover, before: str) -> Iterator[Mover]:
    """A source that is followed; afterwards the move is taken back."""
    mover.type("follow", *mover.source("--yes"))
    yield mover
    mover.type("abort", "--yes")
    assert mover.everything() == before


def behind(mover: Mover) -> int:
    """Bytes that this server does not have yet."""
    return sum(each["lag_bytes"] for each in mover.status().values())


def test_another_moves_slot_is_left_to_it(mover: Mover, before: str) -> None:
    slot = "ops_migrate_1"
    mover.managed.sql(f"SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')", SHOP)
    try:
        assert f"a slot of another move, {slot}" in mover.failed("follow", *mover.source("--yes"))
        assert slot in mover.managed.sql("SELECT slot_name FROM pg_replication_slots", SHOP)
    finally:
        mover.managed.sql(f"SELECT pg_drop_replication_slot('{slot}')", SHOP)
    assert mover.everything() == before


def test_following_goes_on_after_whatever_happens(followed: Mover) -> None:
    """Either server restarted, the connection broken: all that was written arrives."""
    mover = followed
    with mover.writing() as ledger:
        mover.managed.restart()
        ledger.wait_for_more(50, 60)
        mover.stack.on(POSTGRES, f"systemctl restart {mover.stack.unit}")
        ledger.wait_for_more(50)
        with mover.managed.firewalled():
            time.sleep(5)
        ledger.wait_for_more(50, 120)
    eventually(
        "every row to arrive",
        lambda: (
            mover.stack.sql("SELECT count(*) FROM ledger", SHOP)
            == mover.managed.sql("SELECT count(*) FROM ledger", SHOP)
        ),
        180,
    )


def test_ddl_at_the_source_is_noticed(followed: Mover) -> None:
    mover = followed
    mover.managed.sql("ALTER TABLE vertraulich ADD COLUMN neu int", SHOP)
    try:
        assert mover.status()[SHOP]["changed"] == ["public.vertraulich"]
        assert "public.vertraulich" in mover.failed("cutover", "--yes")
    finally:
        mover.managed.sql("ALTER TABLE vertraulich DROP COLUMN neu", SHOP)
    assert mover.status()[SHOP]["changed"] == []
    # What no table has shows when everything is described again, before anything is closed.
    mover.managed.sql("CREATE FUNCTION neu() RETURNS int LANGUAGE sql AS 'SELECT 1'", SHOP)
    try:
        assert "FUNCTION neu()" in mover.failed("cutover", "--yes")
        assert mover.managed.sql("SELECT 1", SHOP) == "1"
    finally:
        mover.managed.sql("DROP FUNCTION neu()", SHOP)


def test_a_slot_that_retains_too_much_is_said_before_it_is_lost(
    followed: Mover, inbox: Inbox
) -> None:
    mover = followed
    mover.managed.sql("ALTER SYSTEM SET max_slot_wal_keep_size = '96MB'; SELECT pg_reload_conf()")
    mover.stack.sql("ALTER SUBSCRIPTION ops_migrate DISABLE", SHOP)
    try:
        fill(mover)
        inbox.wait_firing(("MoveFillsSource", "postgres"), ("MoveNotFollowed", "postgres"))
        for _ in range(6):
            fill(mover)
        mover.managed.sql("CHECKPOINT")
        plain = " ".join(mover.type("status").stdout.split())
        assert "its slot at the source is gone; python -m ops migrate abort" in plain
        assert "slot at the source is gone" in mover.failed("cutover", "--yes")
    finally:
        mover.managed.sql("ALTER SYSTEM RESET max_slot_wal_keep_size; SELECT pg_reload_conf()")


def fill(mover: Mover) -> None:
    """Four segments of WAL, which nobody but a slot needs."""
    for _ in range(4):
        mover.managed.sql("SELECT pg_logical_emit_message(true, 'x', 'x'); SELECT pg_switch_wal()")


@contextmanager
def held_up(mover: Mover) -> Iterator[None]:
    """What is written at the source cannot be applied here: somebody has locked the table."""
    lock = "BEGIN; LOCK TABLE ledger IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(300)"
    command = f"cd /; runuser -u postgres -- psql -d {SHOP} -c '{lock}'"
    mover.stack.on(POSTGRES, f'systemd-run --quiet --collect --unit=locks sh -c "{command}"')
    try:
        mover.managed.sql("INSERT INTO ledger VALUES (1)", SHOP)
        yield
    finally:
        mover.stack.on(POSTGRES, "systemctl stop locks; true")
        # It may be closed to writes.
        again = "SET default_transaction_read_only = off; DELETE FROM ledger WHERE id = 1"
        mover.managed.sql(again, SHOP)


def test_a_cutover_that_does_not_catch_up_opens_the_source_again(followed: Mover) -> None:
    mover = followed
    with held_up(mover):
        failure = mover.failed("cutover", "--yes")
        assert "did not catch up with the source in time" in failure
        assert "Everything was put back as it was before" in failure
    with mover.writing() as ledger:
        ledger.wait_for_more(20)


def test_a_cutover_killed_half_way_can_be_taken_back(followed: Mover) -> None:
    """The fixture does so: whoever was shut out of the source is let in again."""
    mover = followed
    with held_up(mover):
        cutover = mover.stack.start_ops("migrate", "cutover", "--yes")
        eventually("the source to be closed", lambda: closed(mover), 60)
        cutover.kill()
        cutover.wait()
        mover.stack.on(POSTGRES, "systemctl kill --signal KILL migration-copy; true")
    assert closed(mover)
    # Its lock expires a minute later.
    time.sleep(65)


def closed(mover: Mover) -> bool:
    """Whether the source's database with everything in it is closed to writes."""
    sql = "SELECT setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase"
    return "read_only=on" in mover.managed.sql(sql)


def test_the_page(mover: Mover, before: str) -> None:
    """With nothing written meanwhile; then back to the source, as the page says."""
    _, status, cutover = mover.follow("moving-in-followed")
    assert "0 B behind" in status and "PROTECTED" in cutover
    mover.reopen()
    mover.remove_here()
    assert mover.everything() == before


def test_nothing_is_lost_and_writes_stop_for_seconds(mover: Mover, site: Site, before: str) -> None:
    mover.type("follow", *mover.source("--yes"))
    mover.give_password_here()
    with mover.writing() as there:
        mover.managed.sql(CHANGES, SHOP, managed_data.OWNER)
        there.wait_for_more(200)
        cutover = mover.stack.start_ops("migrate", "cutover", "--yes")
        said(cutover, lambda line: "clients may connect" in line, 120)
        with mover.writing_here(site) as here:
            here.wait_for_more(100)
            output, _ = cutover.communicate(timeout=300)
    assert cutover.returncode == 0, output
    stopped = here.commits[0].acknowledged - max(each.acknowledged for each in there.commits)
    print(
        f"writes stopped for {stopped:.1f} s, as the application saw it; the cutover's own words:"
    )
    print(next(line for line in output.splitlines() if "writes have stopped" in line))
    arrived = {int(line) for line in mover.stack.sql("SELECT id FROM ledger", SHOP).split()}
    assert there.ids | here.ids <= arrived
    # And nobody has written at the source since.
    assert max(each.sent for each in there.commits) < here.commits[0].acknowledged
    assert "PROTECTED" in output
    # All but what was written here since, and who may connect there.
    found = mover.compare()
    rows = [each["name"] for one in found["databases"] for each in one["row_differences"]]
    assert rows == ["public.ledger"]
    assert not [one for one in found["databases"] if one["differences"] or one["unread"]]
    assert {each["kind"] for each in found["differences"]} == {"DATABASE"}
    mover.stack.until_content()
    mover.reopen()
    mover.remove_here()
