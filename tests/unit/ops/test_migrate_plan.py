"""What follows from a source and this server: refusals, changes there, warnings, what comes."""

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from ops.errors import OperatorError
from ops.migrate import facts as asking
from ops.migrate import questions
from ops.migrate.facts import Facts
from ops.migrate.model import Finding, MigrationPlan, Room
from ops.migrate.plan import judged
from ops.migrate.show import show
from tests.unit.ops.migrate_facts import (
    ADDRESS,
    GIB,
    content,
    database,
    facts,
    here,
    role,
    server,
)
from tests.unit.ops.report_states import AT


def plan(found: Facts) -> MigrationPlan:
    return judged(found, AT)


def shown(found: Facts) -> str:
    console = Console(width=200, record=True)
    show(plan(found), console)
    return console.export_text()


def with_content(**changed: Any) -> Facts:
    return facts(contents={"shop": content(**changed)})


def test_a_source_that_nothing_speaks_against() -> None:
    found = plan(facts())
    assert found.possible
    assert not found.refusals and not found.for_following
    assert [each.name for each in found.databases] == ["shop"]
    text = shown(facts())
    assert "From PostgreSQL 15.13 at old.example.org:5432 (azure, TLSv1.3) as dbadmin" in text
    assert "It can be copied. Nothing was changed, there or here." in text


def with_room(machine: str, free: int) -> tuple[Room, ...]:
    return tuple(
        room.model_copy(update={"free_bytes": free}) if room.machine == machine else room
        for room in facts().room
    )


COLLATION = {"name": "de_DE", "system": True, "provider": "c", "locale": "de_DE.utf8"}
OWN_COLLATION = {**COLLATION, "name": 'public."deutsch"', "system": False}
REFUSED: list[tuple[Facts, str, str]] = [
    (
        facts(server=server(number=180001)),
        "The source is PostgreSQL 18, this server 17",
        "the setting image",
    ),
    (facts(shut=("secret",)), "may not connect to the database secret", "GRANT CONNECT"),
    (
        facts(occupied=frozenset({"shop"})),
        "There is a database shop here, and it is not empty.",
        'ALTER DATABASE "shop" RENAME TO "shop_before";',
    ),
    (
        facts(here=here(closed=["shop"])),
        "a database shop here that nobody can connect to",
        'ALTER DATABASE "shop" RENAME',
    ),
    (
        facts(occupied=frozenset({"postgres"}), contents={"postgres": content()}),
        "There is a database postgres here",
        "a database of its own",
    ),
    (
        facts(server=server(roles=[role("barman")])),
        "a role barman, and that is one that backups",
        'ALTER ROLE "barman" RENAME TO',
    ),
    (
        facts(server=server(roles=[role("app")]), here=here(owning=["app"])),
        "There is a role app here that owns something",
        'ALTER ROLE "app" RENAME TO',
    ),
    (
        with_content(unreadable=["public.hidden"], owners_of_unreadable=['"other one"']),
        "dbadmin cannot read public.hidden.",
        'GRANT "other one" TO "dbadmin";',
    ),
    (
        with_content(unreadable_large_objects=3, owners_of_unreadable=["a", "b"]),
        "dbadmin cannot read large objects (3).",
        'GRANT a, b TO "dbadmin";',
    ),
    (
        with_content(of_two_lines=['public."two\nlines"']),
        r'the name of public."two\nlines": rows cannot be copied',
        "RENAME TO",
    ),
    (
        with_content(hidden=["public.t"]),
        "Row security hides rows from dbadmin in public.t",
        "BYPASSRLS",
    ),
    (
        with_content(extensions=[{"name": "postgis", "version": "3.4"}]),
        "This server has no extension postgis, which is used in shop",
        "sudo apt-get install postgresql-17-postgis-3",
    ),
    (
        with_content(extensions=[{"name": "homemade", "version": "1"}]),
        "no extension homemade",
        'DROP EXTENSION "homemade";',
    ),
    (with_content(collations=[COLLATION]), "does not know: de_DE", "localedef -i de_DE"),
    (with_content(collations=[OWN_COLLATION]), "does not know: public", "localedef -i de_DE"),
    (
        facts(room=with_room("postgres-lab", GIB)),
        "/data of postgres-lab has 1.0 GiB free and needs 2.0 GiB",
        "pulumi config set postgresDiskGb",
    ),
    (
        facts(room=with_room("barman-lab", 0)),
        "/data of barman-lab has 0 B free and needs 1.0 GiB",
        "pulumi config set barmanDiskGb",
    ),
]


@pytest.mark.parametrize(("found", "reason", "then"), REFUSED)
def test_what_cannot_work_is_refused_with_what_would(found: Facts, reason: str, then: str) -> None:
    made = plan(found)
    assert not made.possible
    (refusal,) = made.refusals
    assert reason in refusal.text
    assert refusal.next_command and then in refusal.next_command
    text = shown(found)
    assert reason in text and "It cannot be copied before" in text
    assert "Nothing was changed, there or here." in text


def test_everything_that_refuses_is_said_at_once() -> None:
    found = replace(with_content(hidden=["t"]), shut=("secret",), server=server(number=180001))
    assert len(plan(found).refusals) == 3


FOLLOWING: list[tuple[Facts, str, str]] = [
    (
        facts(server=server(wal_level="replica")),
        "wal_level is replica, not logical",
        "az postgres flexible-server parameter set -g GROUP -s SERVER -n wal_level -v logical",
    ),
    (
        facts(server=server(replication=False)),
        "dbadmin may not replicate",
        'ALTER ROLE "dbadmin" REPLICATION;',
    ),
    (
        facts(server=server(ends_sessions=False)),
        "dbadmin may not see and end every session",
        'GRANT pg_read_all_stats, pg_signal_backend TO "dbadmin";',
    ),
    (facts(server=server(free_slots=0)), "0 replication slots are left", "max_replication_slots"),
    (facts(server=server(in_recovery=True)), "read replica", "that server's host"),
    (
        with_content(without_key=['public."log"', "public.z"]),
        'could be followed has public."log", public.z',
        'ALTER TABLE public."log" REPLICA IDENTITY FULL;',
    ),
    (
        facts(
            server=server(
                blockers=[
                    blocker := {
                        "kind": "transaction",
                        "name": "4711",
                        "database": "shop",
                        "role": "app",
                        "age_s": 7200.0,
                    }
                ]
            )
        ),
        "A transaction in shop of app has been open for 2 h 0 min",
        "SELECT pg_terminate_backend(4711);",
    ),
    (
        facts(server=server(blockers=[{**blocker, "kind": "prepared", "name": "it's"}])),
        "The prepared transaction 'it''s' in shop of app",
        "COMMIT PREPARED 'it''s';",
    ),
    (
        facts(contents={"shop": content(owners_of_others=['"shop owner"'])}),
        'dbadmin is no member of "shop owner"',
        'GRANT "shop owner" TO "dbadmin";',
    ),
    (
        facts(here=here(apply_workers=0)),
        "This server applies changes of 0 databases at once, and there are 1.",
        "max_logical_replication_workers 1, then pulumi up",
    ),
]


@pytest.mark.parametrize(("found", "reason", "then"), FOLLOWING)
def test_what_following_wants_of_the_source_is_no_reason_not_to_copy(
    found: Facts, reason: str, then: str
) -> None:
    made = plan(found)
    assert made.possible
    (change,) = made.for_following
    assert reason in change.text
    assert change.next_command and then in change.next_command


@pytest.mark.parametrize(
    ("mark", "service", "then"),
    [
        ("rds_superuser", "rds", "rds.logical_replication"),
        ("cloudsqlsuperuser", "cloudsql", "cloudsql.logical_decoding=on"),
        ("some", "other", "ALTER SYSTEM SET wal_level = 'logical'"),
    ],
)
def test_each_service_has_its_own_commands(mark: str, service: str, then: str) -> None:
    made = plan(facts(server=server(roles=[role(mark)], wal_level="replica")))
    assert made.source.service == service
    assert then in (made.for_following[0].next_command or "")


def warned(found: Facts) -> list[Finding]:
    made = plan(found)
    assert made.possible
    return made.warnings


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (facts(server=server(tls=None)), "not encrypted"),
        (facts(closed=("old",)), "Nobody can connect to the database old"),
        (facts(here=here(settings={"max_connections": "50"})), "The source allows 100 connections"),
        (facts(room=with_room("barman-lab", GIB)), "/data of barman-lab will be nearly full"),
        (facts(server=server(roles=[role("postgres")])), "this server's superuser"),
        (with_content(large_objects=2), "Large objects can be copied, not followed: 2."),
        (with_content(unlogged=["t"]), "Unlogged tables can be copied, not followed: t."),
        (with_content(text_partitions=["p"]), "a row may belong to another partition"),
        (with_content(text_indexes=["i"]), "Indexes in the new order: i."),
        (with_content(invalid_indexes=["i"]), "Indexes that are not valid"),
        (
            with_content(superuser_objects=[f"f{n}()" for n in range(7)]),
            "f4() and 2 more",
        ),
        (
            facts(server=server(databases=[database("shop", encoding="SQL_ASCII")])),
            "SQL_ASCII",
        ),
    ],
)
def test_what_is_to_be_reckoned_with(found: Facts, text: str) -> None:
    assert any(text in each.text for each in warned(found)), warned(found)


@pytest.mark.parametrize(
    ("changed", "changes"),
    [
        ({"collate": "en_US.UTF-8"}, True),
        ({"collate": "C"}, False),
        ({"collate": "C.UTF-8"}, False),
        ({"provider": "i", "collate": "C", "locale": "de"}, True),
        ({"provider": "b", "collate": "C.UTF-8"}, False),
    ],
)
def test_text_in_an_order_of_bytes_stays_in_it(changed: dict[str, str], changes: bool) -> None:
    found = facts(server=server(databases=[database("shop", **changed)]))
    found = replace(found, contents={"shop": content(text_partitions=["p"])})
    (listed,) = plan(found).databases
    assert listed.order_changes == changes
    order = f"Text sorts by {listed.locale} there and by code points here"
    assert any(order in each.text for each in warned(found)) == changes
    assert any("partition" in each.text for each in warned(found)) == changes


def test_the_services_own_is_left_behind() -> None:
    azures = {"name": "azure_storage", "version": "1"}
    found = with_content(schemas=["azure_x"], extensions=[azures])
    made = plan(found)
    assert made.possible
    assert [(each.kind, each.name) for each in made.left_behind] == [
        ("database", "azure_maintenance"),
        ("role", "azure_pg_admin"),
        ("role", "azuresu"),
        ("schema", "azure_x"),
        ("extension", "azure_storage"),
    ]
    assert [each.name for each in made.roles] == ["dbadmin"]


def test_what_of_a_role_cannot_come_along_is_named() -> None:
    roles = [
        role("azure_pg_admin"),
        role("app", login=False, superuser=True),
        role("dbadmin", member_of=["azure_pg_admin", "pg_monitor"]),
        role("me@example.org", entra=True),
    ]
    app, admin, entra = plan(facts(server=server(roles=roles))).roles
    assert (app.exists_here, app.lost) == (True, ["SUPERUSER"])
    assert admin.lost == ["its password", "membership in azure_pg_admin"]
    assert entra.lost == ["signs in by Entra ID there; needs a password here"]
    text = shown(facts(server=server(roles=roles)))
    assert "SUPERUSER; is here, and stays as it is" in text


def test_settings_that_differ_are_shown() -> None:
    (connections, zone) = plan(facts()).settings
    assert (connections.source, connections.here) == ("100", "200")
    assert (zone.name, zone.source, zone.here) == ("TimeZone", "UTC", "Etc/UTC")


def test_names_are_not_taken_for_markup() -> None:
    found = facts(
        server=server(databases=[database("[red]x[/]")]), contents={"[red]x[/]": content()}
    )
    assert "[red]x[/]" in shown(found)


def test_an_empty_default_database_and_the_services_stay() -> None:
    listed = [database("postgres"), database("azure_sys"), database("shop")]
    listed += [database("closed", open=False), database("theirs", connect=False)]
    asked: list[str] = []

    def ask(sql: str, name: str) -> Any:
        if sql == questions.NUMBER:
            return 150013
        if sql == questions.SERVER:
            return server(databases=listed)
        asked.append(name)
        return 0 if sql == questions.CONTENT_OR_EXTENSIONS else content()

    found = asking.of_source(ask, ADDRESS.database)
    assert list(found.contents) == ["shop"]
    assert (found.shut, found.closed) == (("theirs",), ("closed",))
    assert "azure_sys" not in asked


@pytest.mark.parametrize(("number", "named"), [(100023, "10"), (90624, "9.6")])
def test_a_source_that_is_too_old_is_not_asked_any_further(number: int, named: str) -> None:
    def ask(sql: str, _: str) -> Any:
        assert sql == questions.NUMBER
        return number

    with pytest.raises(OperatorError) as refused:
        asking.of_source(ask, ADDRESS.database)
    assert f"The source is PostgreSQL {named}; what is older than 11" in str(refused.value)
    assert "nothing was changed" in str(refused.value)
    assert "Next: upgrade the source first" in str(refused.value)


def test_generated_columns_are_asked_for_where_there_are_any() -> None:
    assert "attgenerated" in questions.database(120000)
    assert "attgenerated" not in questions.database(110022)
