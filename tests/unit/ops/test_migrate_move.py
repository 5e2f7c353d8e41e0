"""What a move decides before anything is touched, and what its programs say and send."""

import json
from typing import Any

import pytest

from ops.migrate import following, measuring, move, moves, roles, show
from ops.migrate.model import Following, MoveStatus
from ops.onmachine.migration import definitions, measure, rows, watch
from ops.onmachine.migration.rows import Part, Table
from ops.runbook.journal import Journal
from tests.unit.ops import migrate_facts

GIB = 1 << 30


def role(name: str, **changed: Any) -> dict[str, Any]:
    flags = ("createrole", "createdb", "login", "replication", "bypassrls")
    found = {"name": name, "inherit": True, **dict.fromkeys(flags, False)}
    return {**found, "limit": -1, "until": None, "comment": None, **changed}


def test_a_role_comes_with_its_attributes_and_neither_password_nor_superuser() -> None:
    found = role('o"brien', login=True, createdb=True, limit=3, until="2030-01-01", comment="it's")
    said = roles.creating({**found, "superuser": True})
    assert said == (
        'CREATE ROLE "o""brien" INHERIT NOCREATEROLE CREATEDB LOGIN NOREPLICATION NOBYPASSRLS '
        "CONNECTION LIMIT 3 VALID UNTIL '2030-01-01';\n"
        "COMMENT ON ROLE \"o\"\"brien\" IS 'it''s';"
    )


def test_memberships_come_where_both_roles_do() -> None:
    older = {"role": "a", "member": "b", "admin": True, "inherit": None, "set": None}
    newer = {"role": "a", "member": "c", "admin": False, "inherit": "false", "set": "true"}
    lost = {**older, "member": "azure_pg_admin"}
    assert roles.memberships({"members": [older, newer, lost]}, "abc") == [
        'GRANT "a" TO "b" WITH ADMIN TRUE;',
        'GRANT "a" TO "c" WITH ADMIN FALSE, INHERIT FALSE, SET TRUE;',
    ]


def test_settings_are_written_as_postgresql_reads_them_back() -> None:
    answer = {
        "settings": [
            {
                "role": None,
                "database": "shop",
                "values": ['search_path="$user", public', "a.b=it's"],
            },
            {"role": "r", "database": "shop", "values": ["work_mem=1GB"]},
            {"role": "r", "database": None, "values": ["role=x"]},
            {"role": "gone", "database": "shop", "values": ["work_mem=2GB"]},
            {"role": None, "database": "other", "values": ["work_mem=3GB"]},
        ]
    }
    assert roles.settings(answer, ["r"], ["shop"]) == [
        'ALTER DATABASE "shop" SET "search_path" TO "$user", public;',
        'ALTER DATABASE "shop" SET "a"."b" TO \'it\'\'s\';',
        'ALTER ROLE "r" IN DATABASE "shop" SET "work_mem" TO \'1GB\';',
    ]
    assert roles.settings(answer, ["r"], [None]) == ['ALTER ROLE "r" SET "role" TO \'x\';']


def test_a_database_has_the_grants_that_it_had() -> None:
    grants = [
        {"grantee": None, "public": True, "privilege": "CONNECT", "option": False},
        {"grantee": "r", "public": False, "privilege": "CREATE", "option": True},
        {"grantee": "azuresu", "public": False, "privilege": "CREATE", "option": False},
    ]
    found = {"name": "shop", "owner": "o", "limit": 5, "comment": None, "grants": grants}
    create, then = roles.database("shop", {"databases": [found]}, ["o", "r"])
    assert create == 'CREATE DATABASE "shop" OWNER "o" TEMPLATE template0 ENCODING \'UTF8\''
    assert then == [
        'ALTER DATABASE "shop" CONNECTION LIMIT 5;',
        'REVOKE ALL ON DATABASE "shop" FROM PUBLIC, "o";',
        'GRANT CONNECT ON DATABASE "shop" TO PUBLIC;',
        'GRANT CREATE ON DATABASE "shop" TO "r" WITH GRANT OPTION;',
    ]
    untouched = {**found, "grants": None, "limit": -1}
    assert roles.database("shop", {"databases": [untouched]}, ["o"])[1] == []


def table(name: str, size: int, blocks: int = 1) -> Table:
    return Table(hash(name), name, name, ('"Größe"', "b"), size, blocks)


def test_the_largest_tables_come_first_and_in_parts() -> None:
    small, large = table("s", 8192), table("l", 3 * GIB, 3 * GIB // 8192)
    found = rows.parts([small, large], 150000)
    assert [(part.table.name, part.number) for part in found] == [
        ("l", 1),
        ("l", 2),
        ("l", 3),
        ("l", 4),
        ("s", 0),
    ]
    ends = [part.last for part in found[:4]]
    assert [part.first for part in found[:4]] == [0, *ends[:3]] and ends[3] is None
    # Which would read the whole table for each part.
    assert [part.number for part in rows.parts([large], 130000)] == [0]


def test_a_whole_table_is_emptied_in_the_transaction_that_fills_it() -> None:
    whole, part = Part(table("s", 1), 0, 1), Part(table("l", 1), 2, 1, 7, 9)
    said = rows.receiving(whole, "sh x")
    assert said.index("TRUNCATE ONLY s;") < said.index(
        "\\copy s (\"Größe\", b) from program 'sh x'"
    )
    assert said.index("INSERT INTO ops_migrate.done") < said.index("COMMIT")
    assert "TRUNCATE" not in rows.receiving(part, "sh x")
    sent = rows.sending(part, "0-1")
    assert "ctid >= '(7,0)' AND ctid < '(9,0)'" in sent
    assert "SET TRANSACTION SNAPSHOT '0-1'" in sent
    assert "SNAPSHOT" not in rows.sending(whole, "")


def test_rights_to_postgresqls_own_functions_stay_behind() -> None:
    listed = (
        ";\n; Archive created\n"
        "4031; 0 0 ACL pg_catalog FUNCTION pg_stat_reset() azuresu\n"
        "4032; 0 0 ACL public TABLE kunde o\n"
    )
    assert "pg_stat_reset" not in definitions.wanted(listed)
    assert "ACL public TABLE kunde" in definitions.wanted(listed)


COMPLAINTS = """\
pg_restore: from TOC entry 3512; 1259 16500 INDEX nach_name o
pg_restore: error: could not execute query: ERROR:  relation "nach_name" already exists
Command was: CREATE INDEX nach_name ON public.kunde USING btree (name);
pg_restore: from TOC entry 3513; 3466 16501 EVENT TRIGGER wache azuresu
pg_restore: error: could not execute query: ERROR:  permission denied to change owner of event \
trigger "wache"
pg_restore: from TOC entry 3514; 2606 16502 FK CONSTRAINT auftrag auftrag_kunde_fkey o
pg_restore: error: could not execute query: ERROR:  insert or update on table "auftrag" violates
pg_restore: warning: errors ignored on restore: 3
"""


@pytest.mark.parametrize(("again", "count"), [(False, 2), (True, 1)])
def test_what_could_not_be_created_is_named(again: bool, count: int) -> None:
    found = definitions.complaints(COMPLAINTS, again=again)
    assert len(found) == count
    assert "violates (2606 16502 FK CONSTRAINT auftrag auftrag_kunde_fkey o)" in found[-1]


def moved(*, follow: bool) -> move.Move:
    facts = migrate_facts.facts(
        contents={
            "shop": migrate_facts.content(
                without_key=["public.log"], followed=["public.kunde"], unlogged=["public.tmp"]
            )
        }
    )
    answer = {
        "roles": [role("dbadmin", login=True), role("azuresu"), role("azure_pg_admin")],
        "members": [],
        "settings": [],
        "databases": [
            {"name": "shop", "owner": "dbadmin", "limit": -1, "comment": None, "grants": None}
        ],
    }
    return move.of(facts, answer, ["shop"], follow=follow)


def test_a_move_is_decided_before_anything_is_touched() -> None:
    found = moved(follow=True)
    (shop,) = found.databases
    assert shop.publish == ["public.kunde"]
    assert shop.later == ["public.log", "public.tmp"]
    assert shop.slot.startswith("ops_migrate_")
    assert (found.without_password, list(found.create_roles)) == (["dbadmin"], ["dbadmin"])
    assert "azure_pg_admin" in found.placeholders
    copied = moved(follow=False).databases[0]
    assert (copied.slot, copied.publish, copied.later) == ("", [], [])
    assert move.Move.model_validate_json(found.model_dump_json()) == found


FOLLOWED = {
    "database": "shop",
    "enabled": True,
    "running": True,
    "active": True,
    "slot": "there",
    "lag_bytes": 0,
    "retained_bytes": 5 << 20,
}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, None),
        ({"slot": "gone"}, "slot at the source is gone"),
        ({"wal_status": "lost"}, "slot at the source is gone"),
        ({"running": False}, "not followed at the moment"),
        ({"changed": ["public.kunde"]}, "definitions at the source have changed: public.kunde"),
        ({"lag_bytes": GIB}, "it is 1.0 GiB behind"),
        ({"error": "no route"}, "no route"),
    ],
)
def test_a_cutover_that_would_not_succeed_is_not_begun(
    changed: dict[str, Any], said: str | None
) -> None:
    found = following.unready(Following.model_validate({**FOLLOWED, **changed}))
    assert found is None if said is None else said in str(found)


def test_the_status_says_what_is_in_the_way(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    found = Following.model_validate(
        {**FOLLOWED, "failures": 3, "safe_wal_bytes": GIB, "changed": ["public.kunde"]}
    )
    status = MoveStatus(source="old:5432", user="dbadmin", follow=True, databases=[found])
    show.show_status(status, Console(width=300))
    said = capsys.readouterr().out
    assert "shop: 0 B behind, the source retains 5.0 MiB of WAL" in said
    assert "the slot is lost after 1.0 GiB more" in said
    assert "applying has failed 3 times" in said and "public.kunde" in said
    assert "migrate cutover" not in said


def test_prometheus_is_told_that_what_cannot_be_asked_is_not_followed() -> None:
    unasked = {"database": 'a"b', "error": "no route", "changed": []}
    page = watch.rendered([{**FOLLOWED, "error": None, "changed": ["x"]}, unasked])
    assert 'migration_followed{database="shop"} 1' in page
    assert 'migration_changed{database="shop"} 1' in page
    assert 'migration_followed{database="a\\"b"} 0' in page
    assert 'migration_lag_bytes{database="a\\"b"}' not in page


def test_how_far_a_copy_is() -> None:
    said = json.dumps({"stage": "rows", "bytes": 200, "done_bytes": 50})
    assert moves.done_bytes(said, 1000) == 250
    assert moves.done_bytes("", 1000) is None


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("migrate copy", "python -m ops migrate copy --resume   (or python -m ops migrate abort)"),
        ("migrate abort", "python -m ops migrate abort"),
        ("recover", "python -m ops recover --resume   (or --abort)"),
    ],
)
def test_an_interrupted_run_says_how_it_ends(kind: str, said: str) -> None:
    assert Journal.begin(kind).finish_command == said


def test_what_is_measured_is_the_largest_table_first_a_portion_at_a_time() -> None:
    small, large = table("s", 8192), table("l", 40 << 20, (40 << 20) // 8192)
    found = measure.chunks([small, large])
    assert [part.table.name for part in found] == ["l", "l", "l", "s"]
    assert found[1].first == found[0].last


def test_the_time_of_a_move_follows_from_what_was_measured() -> None:
    facts = migrate_facts.facts(contents={"shop": migrate_facts.content(later_bytes=GIB // 2)})
    found = measuring.reckoned(facts, GIB / 10)
    assert found is not None
    assert (found.copy_s, found.cutover_s) == (10, 5)
    assert measuring.reckoned(facts, 0) is None
