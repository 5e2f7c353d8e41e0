"""The way back after a cutover: messages as PostgreSQL 15 has sent them, and the SQL that they
become at the source."""

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ops.errors import OperatorError
from ops.migrate import returning, show
from ops.migrate.model import MoveStatus, WayBack
from ops.migrate.move import Database, Move
from ops.migrate.procedure import BACK, CUTOVER, END, procedure
from ops.onmachine.migration import pgoutput, replay, writer
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.pgoutput import (
    UNCHANGED,
    Begin,
    Commit,
    Delete,
    Insert,
    Relation,
    Truncate,
    Unreadable,
    Update,
)
from ops.onmachine.migration.replay import Target
from ops.onmachine.migration.sessions import Failed, Server
from ops.runbook.journal import Journal

RECORDED = Path(__file__).parent / "recorded" / "pgoutput-15.txt"
# "Kunde" (id GENERATED ALWAYS AS IDENTITY, name, klein GENERATED ALWAYS AS …, bild, dick).
KUNDE = Relation(24578, "public", "Kunde", False, ("id", "name", "bild", "dick"), ("id",))
VOLL = Relation(24586, "public", "voll", True, ("a", "p"), ("a", "p"))
NONE = Target({}, (), ())


def recorded() -> list[pgoutput.Message]:
    found = [pgoutput.read(bytes.fromhex(line)) for line in RECORDED.read_text().split()]
    return [each for each in found if each is not None]


def test_rows_are_read_as_they_were_written() -> None:
    first, relation, *changes, commit = recorded()[:8]
    assert isinstance(first, Begin) and isinstance(commit, Commit) and first.lsn < commit.end
    assert relation == KUNDE
    assert changes == [
        Insert(24578, ("1", "O'Neil \\ ☃", "\\x00ff", "x" * 3000)),
        Insert(24578, ("2", None, None, None)),
        Update(24578, None, ("1", "neu", "\\x00ff", UNCHANGED)),
        Update(24578, ("1", None, None, None), ("3", "neu", "\\x00ff", UNCHANGED)),
        Delete(24578, ("2", None, None, None)),
    ]


def test_identities_and_truncations_are_read() -> None:
    found = recorded()
    assert VOLL in found
    assert Update(24586, ("1", "(1,2)"), ("2", "(1,2)")) in found
    by_index = next(each for each in found if isinstance(each, Relation) and each.table == "z")
    assert (by_index.key, by_index.full) == (("a", "b"), False)
    assert [each for each in found if isinstance(each, Truncate)] == [
        Truncate((24578, 24599), cascade=True),
        Truncate((24586,), cascade=False),
    ]


def test_what_is_cut_off_or_unknown_is_refused() -> None:
    for line in RECORDED.read_text().split():
        data = bytes.fromhex(line)
        if pgoutput.read(data) is None:
            continue
        with pytest.raises(Unreadable):
            pgoutput.read(data[:-1])
        with pytest.raises(Unreadable):
            pgoutput.read(data + b"\0")
    for unknown in (b"", b"S\0\0\0\1", b"?"):
        with pytest.raises(Unreadable):
            pgoutput.read(unknown)


def test_a_row_is_inserted_with_its_own_identity() -> None:
    said = replay.insert(KUNDE, Insert(1, ("1", "O'Neil \\", None, "")))
    assert said == (
        'INSERT INTO "public"."Kunde" ("id", "name", "bild", "dick") OVERRIDING SYSTEM VALUE '
        "VALUES ('1', 'O''Neil \\', NULL, '')"
    )
    empty = Relation(1, "public", "leer", False, (), ())
    assert replay.insert(empty, Insert(1, ())) == 'INSERT INTO "public"."leer" DEFAULT VALUES'


def test_an_update_leaves_what_was_not_sent_and_requires_its_row() -> None:
    change = Update(1, None, ("1", "neu", None, UNCHANGED))
    said = replay.update(KUNDE, Target({}, ("id",), ("id",)), change)
    assert (
        'UPDATE ONLY "public"."Kunde" SET "name" = \'neu\', "bild" = NULL WHERE "id" = \'1\''
        in said
    )
    assert "CASE count(*) WHEN 1 THEN 1" in said
    by_default = replay.update(KUNDE, NONE, change)
    assert "SET \"id\" = '1', \"name\" = 'neu'" in by_default


def test_a_key_that_changed_is_looked_for_as_it_was() -> None:
    change = Update(1, ("1", None, None, None), ("3", "neu", None, UNCHANGED))
    assert "WHERE \"id\" = '1'" in replay.update(KUNDE, NONE, change)
    # One that is always generated cannot be set: the row is made anew, with what was not sent.
    always = replay.update(KUNDE, Target({}, ("id",), ("id",)), change)
    assert 'DELETE FROM ONLY "public"."Kunde" WHERE "id" = \'1\' RETURNING *' in always
    assert "SELECT '3', 'neu', NULL, gone.\"dick\" FROM gone" in always


def test_a_row_without_a_key_is_one_of_those_that_are_the_same() -> None:
    target = Target({"a": "integer", "p": "point"}, (), ())
    said = replay.delete(VOLL, target, Delete(1, ("1", None)))
    assert (
        'WHERE ctid = (SELECT ctid FROM ONLY "public"."voll" '
        'WHERE "a"::text = (\'1\'::integer)::text AND "p" IS NULL ORDER BY ctid LIMIT 1)' in said
    )
    # With a primary key there, that finds it by its index.
    keyed = Target({"a": "integer", "p": "point"}, ("a",), ())
    assert "WHERE \"a\" = '1' RETURNING" in replay.delete(VOLL, keyed, Delete(1, ("1", None)))


def test_a_row_that_came_without_its_key_is_refused() -> None:
    with pytest.raises(Unreadable, match="without its key"):
        replay.delete(KUNDE, NONE, Delete(1, (None, "x", None, None)))
    with pytest.raises(Unreadable, match="without its key"):
        replay.update(KUNDE, NONE, Update(1, None, (UNCHANGED, "x", None, None)))


def test_tables_are_emptied_as_they_were_emptied() -> None:
    said = replay.truncate([KUNDE, VOLL], Truncate((1, 2), cascade=True))
    assert said == 'TRUNCATE ONLY "public"."Kunde", ONLY "public"."voll" CASCADE'
    assert replay.truncate([VOLL], Truncate((2,), cascade=False)) == 'TRUNCATE ONLY "public"."voll"'


class Psql:
    """What a session at the source is told."""

    told: str

    def __init__(self, *_: object, **__: object) -> None:
        Psql.told = ""

    def send(self, sql: str) -> None:
        Psql.told += sql

    def finish(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


JOB = Job("shop", "", "", 150000, "", (), (), 2, "", "", 0)


def written(monkeypatch: pytest.MonkeyPatch, position: str, messages: list[Any]) -> tuple[str, str]:
    """What the source is told, and up to where that is."""
    tables = [
        {"schema": "public", "table": "Kunde", "types": {}, "key": ["id"], "always": ["id"]},
    ]
    known = {"position": position, "tables": tables}
    monkeypatch.setattr(Server, "value", lambda *_: known)
    monkeypatch.setattr(writer, "Psql", Psql)
    with writer.Writer(JOB) as made:
        for message in messages:
            made.take(message)
        return made.finish(), Psql.told


def transaction(lsn: int, name: str) -> list[Any]:
    return [Begin(lsn), KUNDE, Insert(KUNDE.oid, (str(lsn), name, None, None)), Commit(lsn + 0x30)]


def test_what_the_source_has_already_is_not_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [
        *transaction(0x100, "before"),
        *transaction(0x200, "last"),
        *transaction(0x300, "x"),
    ]
    reached, told = written(monkeypatch, "0/200", messages)
    assert reached == "0/330"
    assert "before" not in told and "last" not in told
    assert told.count("BEGIN") == told.count("COMMIT") == told.count("INSERT") == 1
    # The position is moved in the same transaction, from where it was and nowhere else.
    moved = "SET lsn = '0/300' WHERE lsn = '0/200'"
    assert told.index("BEGIN") < told.index(moved) < told.index("INSERT") < told.index("COMMIT")


def test_a_transaction_that_was_cut_off_is_not_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [*transaction(0x300, "x"), *transaction(0x400, "half")[:-1]]
    reached, told = written(monkeypatch, "0/200", messages)
    assert reached == "0/330"
    assert told.count("COMMIT") == 1


def test_a_table_that_is_not_at_the_source_stops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failed, match=r'"public"."voll" is not at the source'):
        written(monkeypatch, "0/200", [Begin(0x300), VOLL, Insert(VOLL.oid, ("1", None))])


def a_move(*, reverse: bool) -> Move:
    database = Database(
        name="shop",
        owner="shop owner",
        size_bytes=1,
        create="",
        properties=[],
        schemas=[],
        extensions=[],
        replace=False,
        slot="ops_migrate_16400",
    )
    return Move(
        host="old.example.org",
        port=5432,
        user="dbadmin",
        sslmode="require",
        database="postgres",
        version=150000,
        databases=[database],
        create_roles={},
        grants=[],
        role_settings=[],
        placeholders=[],
        without_password=[],
        follow=True,
        reverse=reverse,
    )


def way_back(**changed: Any) -> WayBack:
    found = {"database": "shop", "active": True, "slot": "there", "wal_status": "reserved"}
    return WayBack.model_validate({**found, "lag_bytes": 0, "retained_bytes": 1 << 20, **changed})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"error": "0 rows of x"}, "0 rows of x"),
        ({"slot": "gone", "error": "the slot does not exist"}, "there is no way back"),
        ({"wal_status": "lost"}, "there is no way back"),
        ({"active": False}, "migration-back is not running"),
        ({"lag_bytes": 1 << 30}, "the source is 1.0 GiB behind"),
        ({"lag_bytes": None}, "behind"),
    ],
)
def test_why_writes_cannot_go_back_now(changed: dict[str, Any], said: str | None) -> None:
    found = returning.unready(way_back(**changed))
    assert found is None if said is None else said in str(found)


def test_status_says_how_far_the_source_is_and_what_does_not_go_back() -> None:
    console = Console(record=True, width=200)
    back = [way_back(left=["public.log", "large objects"], changed=["public.neu"])]
    show.show_status(
        MoveStatus(source="old:5432", user="u", follow=True, databases=[], back=back), console
    )
    said = console.export_text()
    assert "shop: the source is 0 B behind; this server retains 1.0 MiB of WAL for it" in said
    assert "not going back: public.log, large objects" in said
    assert "public.neu" in said and "ops migrate end" in said and "ops migrate back" in said
    assert "cutover" not in said


def test_only_a_cutover_that_is_to_keep_a_way_back_has_that_step() -> None:
    for reverse in (False, True):
        wanted = a_move(reverse=reverse)
        steps = procedure(CUTOVER, {"move": wanted.model_dump()})
        names = [step.name for step in steps]
        assert ("way-back" in names) == reverse
        # What the way back needs stays until it is given up.
        assert ("finish" in names) != reverse
        # Once clients may be here it is gone on with, not taken back.
        assert all(step.final for step in steps[1:])


def test_going_back_can_be_taken_back_until_the_source_is_open() -> None:
    steps = procedure(BACK, {"move": a_move(reverse=True).model_dump()})
    assert [step.final for step in steps] == [False, True, True, True]
    assert steps[0].undo is not None
    assert Journal.begin(END).finish_command == "python -m ops migrate end"
    assert "migrate back --resume" in Journal.begin(BACK).finish_command


def test_who_has_cut_over_with_a_way_back_does_not_remove_what_is_here() -> None:
    with pytest.raises(OperatorError, match="applications write here"):
        returning.refuse(a_move(reverse=True))
    returning.refuse(a_move(reverse=False))
    with pytest.raises(OperatorError, match="no way back"):
        returning.require_kept(a_move(reverse=False))


def test_clients_are_told_where_the_source_is() -> None:
    (said,) = returning.connections(a_move(reverse=True))
    assert said == "postgresql://shop%20owner@old.example.org:5432/shop?sslmode=require"
