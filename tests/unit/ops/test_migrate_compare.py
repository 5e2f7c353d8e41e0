"""What a comparison says: what is a difference, what is left out and why, what is shown."""

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from rich.console import Console

from ops.errors import OperatorError
from ops.migrate import compare, judged, left_out
from ops.migrate.comparison import Aspect, Comparison, DatabaseComparison, Difference
from ops.migrate.facts import SourceFacts
from ops.migrate.show_comparison import show
from ops.model import PostgresStatus
from ops.reach import postgres, remote_python
from ops.reach.ssh import Result, Site
from tests.unit.ops.migrate_facts import ADDRESS, content, role, server

ROLES = [
    role("azure_pg_admin", login=False),
    role("azuresu", superuser=True),
    role("boss", superuser=True),
    role("dbadmin", member_of=["azure_pg_admin"]),
]
SIDE = {
    "number": 150013,
    "encoding": "UTF8",
    "schemas": [],
    "extensions": {"citext": "1.6"},
    "invalid_indexes": [],
    "foreign_tables": [],
    "subscriptions": [],
}
FIRST: dict[str, list[str]] = {"only_source": [], "only_here": [], "changed": []}


def table(name: str = "t", **changed: Any) -> dict[str, Any]:
    equal = {"rows": [3, 3], "equal": True, "sampled": False}
    return {"schema": "public", "name": name, "bytes": 8192, **equal, **changed}


def unread(**why: Any) -> dict[str, Any]:
    """A table whose rows were not compared."""
    return {"schema": "public", "name": "t", "bytes": 8192, **why}


def differing(**counts: int) -> dict[str, Any]:
    counted = {**dict.fromkeys(FIRST, 0), **counts}
    first = {kind: [f"({n})" for n in range(min(count, 10))] for kind, count in counted.items()}
    return {"equal": False, "counts": counted, "first": first, "all": True, "key": ["id"]}


def database(**changed: Any) -> dict[str, Any]:
    """One that is the same on both sides, unless something is changed."""
    return {
        "about": {"source": SIDE, "here": SIDE},
        "unread": [],
        "sequences": {"count": 1, "differences": []},
        "definitions": {"entries": 9, "differences": []},
        "large_objects": {"rows": [1, 1], "equal": True, "sampled": False},
        "tables": [table()],
        **changed,
    }


def role_here(**changed: Any) -> dict[str, Any]:
    switches = dict.fromkeys(("SUPERUSER", "CREATEDB", "REPLICATION"), False)
    return {**switches, "LOGIN": True, "CONNECTION LIMIT": -1, "comment": None, **changed}


def whole(**changed: Any) -> dict[str, Any]:
    """A side, as listing.SERVER answers."""
    made = {"owner": "dbadmin", "connection limit": -1, "encoding": "UTF8", "comment": None}
    return {
        "roles": {"dbadmin": role_here(), "app": role_here()},
        "memberships": [],
        "settings": [],
        "databases": {"shop": {**made, "grants": []}},
        **changed,
    }


def found(source: dict[str, Any] | None = None, **databases: Any) -> dict[str, Any]:
    times = {"began": "2026-11-30T21:00:00+00:00", "ended": "2026-11-30T21:05:00+00:00"}
    sides = {"source": source or whole(), "here": whole()}
    return {**times, "server": sides, "databases": databases or {"shop": database()}}


def compared(raw: dict[str, Any], percent: float = 100, **more: Any) -> Comparison:
    return judged.comparison(raw, ADDRESS, "postgres-lab", percent, ROLES, **more)


def one(**changed: Any) -> DatabaseComparison:
    return compared(found(shop=database(**changed))).databases[0]


def entry(kind: str, name: str, source: Any, here: Any, schema: str = "public") -> dict[str, Any]:
    """One of pg_dump's; a side is its text, or its text and its owner."""
    sides = [
        side if side is None else dict(zip(("text", "owner"), side, strict=True))
        for side in (
            each if each is None or isinstance(each, tuple) else (each, "app")
            for each in (source, here)
        )
    ]
    return {"type": kind, "schema": schema, "name": name, "source": sides[0], "here": sides[1]}


def definition(*args: Any, **kwargs: Any) -> DatabaseComparison:
    return one(definitions={"entries": 9, "differences": [entry(*args, **kwargs)]})


def shown(comparison: Comparison) -> str:
    console = Console(width=200, record=True)
    show(comparison, console)
    return console.export_text()


def test_what_is_identical_takes_a_few_lines() -> None:
    same = compared(found())
    assert same.identical
    text = shown(same)
    assert "shop: 1 tables, 3 rows, 8.0 KiB; 9 definitions, 1 sequences, 1 large objects" in text
    assert "Identical. Nothing was changed" in text
    assert len(text.splitlines()) == 4


NOT_IDENTICAL = {
    "a row": database(tables=[table(**differing(changed=1))]),
    "a missing table": database(tables=[unread(missing=["here"])]),
    "a view never filled": database(tables=[unread(unpopulated=["here"])]),
    "a column": database(tables=[table(columns={"source": ["a"], "here": []})]),
    "an unreadable table": database(tables=[unread(failed="denied")]),
    "an unreadable definition": database(unread=[["definition of", "public", "t", "denied"]]),
    "no dump": database(definitions={"failed": "pg_dump: error"}),
    "a definition": database(
        definitions={"entries": 1, "differences": [entry("VIEW", "v", "a", "b")]}
    ),
    "a sequence": database(
        sequences={"count": 1, "differences": [["public", "s", [5, True], [6, True]]]}
    ),
    "a large object": database(large_objects={"rows": [1, 1], **differing(changed=1)}),
    "unreadable large objects": database(large_objects={"failed": "denied"}),
    "a whole database": {"failed": "connection refused"},
}


@pytest.mark.parametrize("case", NOT_IDENTICAL)
def test_whatever_differs_or_could_not_be_compared_is_not_identical(case: str) -> None:
    comparison = compared(found(shop=NOT_IDENTICAL[case]))
    assert not comparison.identical
    assert "NOT IDENTICAL" in shown(comparison)


def test_roles_that_could_not_be_asked_and_databases_that_are_shut_are_not_identical() -> None:
    assert not compared({**found(), "server": {"failed": "timeout"}}).identical
    comparison = compared(found(), shut=["secret"])
    assert not comparison.identical
    assert "database secret could not be compared: dbadmin may not connect" in shown(comparison)


def test_rows_are_named_by_their_key() -> None:
    text = shown(
        compared(found(shop=database(tables=[table(**differing(only_source=7, changed=1))])))
    )
    assert "public.t: 3 rows there, 3 here; 7 missing here, 1 changed" in text
    assert "missing here: (id) = (0)" in text
    assert "… and 2 more missing here" in text


def test_a_count_that_is_not_complete_says_so() -> None:
    rows = {**differing(changed=2), "all": False}
    assert "at least 2 changed" in shown(compared(found(shop=database(tables=[table(**rows)]))))


def test_a_sample_says_what_it_did_not_see() -> None:
    comparison = compared(found(shop=database(tables=[table(sampled=True)])), percent=5)
    assert "Of public.t every key, and 5 % of the rows" in shown(comparison)


def test_a_definition_is_told_by_the_lines_that_differ() -> None:
    (told,) = definition("TABLE", "t", "a\n  b DEFAULT 1\nc", "a\n  b DEFAULT 2\nc").differences
    assert (told.aspect, told.source, told.here) == (
        *(Aspect.DEFINITION, "  b DEFAULT 1", "  b DEFAULT 2"),
    )


def test_lines_at_another_place_are_a_difference() -> None:
    assert definition("FUNCTION", "f()", "a\nb", "b\na").differences
    assert definition("FUNCTION", "f()", "a\n\nb", "a\nb").differences


def test_line_ends_of_another_system_are_a_difference() -> None:
    (told,) = definition("FUNCTION", "f()", "a\r\nb", "a\nb").differences
    assert (told.source, told.here) == ("a\r", "a")


def test_what_one_side_lacks() -> None:
    (lost,) = definition("INDEX", "i", "CREATE INDEX", None).differences
    assert (lost.aspect, lost.here) == (Aspect.EXISTENCE, None)
    text = shown(
        compared(
            found(
                shop=database(
                    definitions={
                        "entries": 1,
                        "differences": [
                            entry("INDEX", "i", "CREATE INDEX", None),
                            entry("INDEX", "j", None, "CREATE INDEX"),
                        ],
                    }
                )
            )
        )
    )
    assert "INDEX i in public: missing here" in text and "INDEX j in public: only here" in text


def test_an_owner_is_named() -> None:
    (told,) = definition("TABLE", "t", ("a", "app"), ("a", "dbadmin")).differences
    assert (told.aspect, told.source, told.here) == (Aspect.OWNER, "app", "dbadmin")


def reasons(found_in: DatabaseComparison) -> list[str]:
    assert not found_in.differences
    return [each.reason for each in found_in.left_out]


LEFT_OUT = {
    "belongs to the service": entry("EXTENSION", "azure_storage", "a", None, schema="-"),
    "is what an extension": entry("COMMENT", "EXTENSION citext", "a", "b", schema="-"),
    "has options, a password": entry("USER MAPPING", "USER MAPPING app SERVER s", "a", "b"),
    "belonged to a superuser": entry("TABLE", "t", ("a", "azuresu"), ("a", "postgres")),
    "belongs to a move": entry("PUBLICATION", "ops_migrate", "a", None, schema="-"),
    "names the service's own roles": entry(
        "ACL", "TABLE t", "GRANT ALL ON TABLE t TO azure_pg_admin;", None
    ),
}


@pytest.mark.parametrize("reason", LEFT_OUT)
def test_what_differs_on_purpose_is_left_out_with_its_reason(reason: str) -> None:
    made = one(definitions={"entries": 1, "differences": [LEFT_OUT[reason]]})
    (said,) = reasons(made)
    assert said.startswith(reason)


KEPT = {
    "an extension": entry("EXTENSION", "citext", "a", None, schema="-"),
    "a team's comment": entry("COMMENT", "TABLE t", "a", "b"),
    "a mapping that is missing": entry("USER MAPPING", "USER MAPPING app SERVER s", "a", None),
    "an owner of the team's": entry("TABLE", "t", ("a", "app"), ("a", "postgres")),
    "the service's, owned by another": entry("TABLE", "t", ("a", "azuresu"), ("a", "app")),
    "a grant beside the service's": entry(
        *("ACL", "TABLE t", "GRANT ALL ON t TO app;\nGRANT ALL ON t TO azuresu;", None)
    ),
    # No superuser any more here.
    "a superuser's grant": entry("ACL", "TABLE t", "GRANT ALL ON TABLE t TO boss;", None),
    "a grant to a role of PostgreSQL's": entry(
        "ACL", "TABLE t", "GRANT ALL ON t TO pg_monitor;", None
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_resembles_it_is_a_difference(case: str) -> None:
    assert one(definitions={"entries": 1, "differences": [KEPT[case]]}).differences


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("GRANT SELECT ON TABLE public.t TO azuresu;", False),
        ("GRANT SELECT ON TABLE public.t TO reader GRANTED BY azuresu;", False),
        ('GRANT SELECT ON TABLE public.t TO "azuresu";', False),
        ("GRANT SELECT ON TABLE public.t TO reader WITH GRANT OPTION;", True),
        ('GRANT SELECT ON TABLE public." TO azuresu" TO "shop owner";', True),
        ("REVOKE ALL ON TABLE public.azuresu FROM PUBLIC;", True),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE azuresu GRANT SELECT ON TABLES TO reader;", False),
        ("ALTER DEFAULT PRIVILEGES FOR ROLE app GRANT SELECT ON TABLES TO reader;", True),
    ],
)
def test_a_grant_is_left_out_by_whom_it_is_for_or_from(line: str, kept: bool) -> None:
    assert bool(left_out.Sieve(judged.roles_of(ROLES)).grants([line])) is kept


def test_the_owner_of_public_is_compared_also_where_pg_dump_does_not_mention_it() -> None:
    assert reasons(definition("SCHEMA", "public", ("-", "azure_pg_admin"), None, schema="-"))
    (told,) = definition("SCHEMA", "public", None, ("-", "app"), schema="-").differences
    assert (told.source, told.here) == ("pg_database_owner", "app")


def test_what_cannot_be_compared_by_its_kind_is_noted() -> None:
    source = {**SIDE, "invalid_indexes": ["i"], "schemas": ["azure"], "subscriptions": ["s"]}
    here = {**SIDE, "extensions": {"citext": "1.8"}}
    said = one(about={"source": source, "here": here}).left_out
    names = [name for each in said for name in each.names]
    assert names == ["azure", "i", "s", "citext (1.6 there, 1.8 here)"]


def of_server(**changed: Any) -> list[Difference]:
    return compared(found(whole(**changed))).differences


def test_a_roles_attributes() -> None:
    app = role_here(CREATEDB=True, **{"CONNECTION LIMIT": 5})
    made = of_server(roles={"dbadmin": role_here(), "app": app})
    assert [(each.source, each.here) for each in made] == [
        ("CREATEDB", None),
        ("CONNECTION LIMIT 5", "CONNECTION LIMIT -1"),
    ]


def test_a_role_that_is_missing_here() -> None:
    roles = {"dbadmin": role_here(), "app": role_here(), "neu": role_here()}
    (told,) = of_server(roles=roles)
    assert (told.name, told.aspect, told.here) == ("neu", Aspect.EXISTENCE, None)


def test_the_services_roles_ours_and_new_ones_are_no_difference() -> None:
    raw = found(whole(roles={"dbadmin": role_here(), "azuresu": role_here(), "app": role_here()}))
    raw["server"]["here"]["roles"] |= {"barman": role_here(), "neu": role_here()}
    comparison = compared(raw)
    assert comparison.identical
    assert [each.names for each in comparison.left_out] == [["ROLE neu"]]


def test_a_superuser_that_is_none_here_is_a_note_and_the_rest_of_it_is_not() -> None:
    raw = found(whole(roles={"boss": role_here(SUPERUSER=True, LOGIN=False)}))
    raw["server"]["here"]["roles"] = {"boss": role_here()}
    comparison = compared(raw)
    assert [each.here for each in comparison.differences] == ["LOGIN"]
    assert comparison.left_out


def test_another_encoding_than_ours_is_a_note() -> None:
    shop = {"owner": "dbadmin", "connection limit": -1, "encoding": "LATIN1", "comment": None}
    comparison = compared(found(whole(databases={"shop": {**shop, "grants": []}})))
    assert comparison.identical
    assert [each.names for each in comparison.left_out] == [["DATABASE shop"]]


def test_a_name_of_two_lines_is_shown_on_one() -> None:
    text = shown(compared(found(shop=database(tables=[table("a\nb", **differing(changed=1))]))))
    assert "public.a b: 3 rows there" in text


def member(name: str, of: str, **options: bool) -> dict[str, Any]:
    return {"member": name, "role": of, "admin": False, "inherit": True, "set": True, **options}


def test_memberships() -> None:
    in_service = member("dbadmin", "azure_pg_admin")
    assert not of_server(memberships=[in_service])
    (told,) = of_server(memberships=[in_service, member("app", "reader", admin=True)])
    assert (told.name, told.source, told.here) == ("app", "in reader (admin, inherit, set)", None)


def test_settings_of_roles_and_databases() -> None:
    def setting(value: str, where: str | None = None, who: str | None = None) -> dict[str, Any]:
        return {"database": where, "role": who, "values": [value]}

    made = of_server(
        settings=[
            setting("work_mem=1MB", who="app"),
            setting("search_path=a, b", where="shop"),
            setting("x.y=a=b", where="shop", who="app"),
            setting("work_mem=1MB", who="azuresu"),
            setting("work_mem=1MB", where="another"),
        ]
    )
    assert [(each.kind, each.name, each.source) for each in made] == [
        ("DATABASE", "shop", "search_path = a, b"),
        ("ROLE", "app", "work_mem = 1MB"),
        ("ROLE", "app in shop", "x.y = a=b"),
    ]


def test_a_database_as_a_whole() -> None:
    def grant(privilege: str, to: str) -> dict[str, Any]:
        return {"privilege": privilege, "to": to, "grantable": False}

    shop = {"owner": "app", "connection limit": 5, "encoding": "UTF8", "comment": None}
    grants = [grant("CREATE", "reader"), grant("CREATE", "app"), grant("CONNECT", "azuresu")]
    made = of_server(databases={"shop": {**shop, "grants": grants}})
    assert [(each.aspect, each.source, each.here) for each in made] == [
        (Aspect.OWNER, "app", "dbadmin"),
        (Aspect.ATTRIBUTE, "connection limit 5", "connection limit -1"),
        (Aspect.GRANTS, "CREATE TO reader", None),
    ]


def test_many_of_a_kind_are_counted() -> None:
    lost = [entry("INDEX", f"i{number}", "CREATE INDEX", None) for number in range(9)]
    text = shown(compared(found(shop=database(definitions={"entries": 9, "differences": lost}))))
    assert "INDEX i4 in public: missing here" in text and "INDEX i5" not in text
    assert "… and 4 more of INDEX, existence: --json" in text


def test_names_are_not_taken_for_markup() -> None:
    lost = [entry("INDEX", "[red]x[/] :x:", "CREATE INDEX", None)]
    assert "[red]x[/] :x:" in shown(
        compared(found(shop=database(definitions={"entries": 1, "differences": lost})))
    )


def test_a_list_of_tables_is_compared_without_the_rest() -> None:
    """As a cutover asks: nothing else was looked at."""
    only = {name: database()[name] for name in ("about", "unread", "tables")}
    raw = {**found(shop=only), "server": {}}
    assert judged.comparison(raw, ADDRESS, "postgres-lab", 100).identical
    only["tables"] = [table(**differing(only_here=1))]
    assert not judged.comparison(raw, ADDRESS, "postgres-lab", 100).identical


class Machine:
    """It notes what it is given."""

    name = "postgres-lab"

    def __init__(self) -> None:
        self.given: list[tuple[list[str], dict[str, Any]]] = []

    def run(self, argv: list[str], **given: Any) -> Result:
        self.given.append((argv, given))
        return Result("", 0, "", "")


def cut_over(
    monkeypatch: pytest.MonkeyPatch, unit: Callable[..., dict[str, Any]]
) -> tuple[Machine, Callable[[], Comparison]]:
    """A machine, and what compares one table on it by this unit."""
    machine = Machine()
    outputs = SimpleNamespace(
        postgres=SimpleNamespace(data_directory="/data/postgresql/17/main"),
        backup=SimpleNamespace(slot="barman"),
    )
    site = cast(Site, SimpleNamespace(postgres=machine, outputs=outputs))
    running = PostgresStatus(accepting=True)
    monkeypatch.setattr(postgres, "state", lambda *_: (running, None, None))
    monkeypatch.setattr(remote_python, "call_as_unit", unit)
    what = compare.What(("shop",), tables=(("public", "t"),))
    return machine, lambda: compare.make(site, ADDRESS, "se:cret", what, Console(quiet=True))


def test_the_password_is_in_a_file_that_is_the_postgres_users_alone_and_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests: list[dict[str, Any]] = []

    def unit(*args: Any) -> dict[str, Any]:
        requests.extend(args[4])
        only = {name: database()[name] for name in ("about", "unread", "tables")}
        return {**found(shop=only), "server": {}}

    machine, make = cut_over(monkeypatch, unit)
    assert make().identical
    (request,) = requests
    made, written, removed = machine.given
    assert made[0] == ["install", "-m", "600", "/dev/null", request["passfile"]]
    assert written[1]["stdin"] == "*:*:*:*:se\\:cret\n"
    assert {made[1]["user"], written[1]["user"]} == {"postgres"}
    assert removed[0][:3] == ["rm", "-f", request["passfile"]]
    assert f"passfile='{request['passfile']}'" in request["source"]
    assert request["tables"] == [["public", "t"]]
    assert "cret" not in str(request) + str([argv for argv, _ in machine.given])


def test_the_password_goes_when_the_unit_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def unit(*_: Any) -> dict[str, Any]:
        raise OperatorError("it was killed", "")

    machine, make = cut_over(monkeypatch, unit)
    with pytest.raises(OperatorError, match="it was killed"):
        make()
    assert machine.given[-1][0][:2] == ["rm", "-f"]


def test_the_password_stays_for_a_unit_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def unit(*_: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    machine, make = cut_over(monkeypatch, unit)
    with pytest.raises(KeyboardInterrupt):
        make()
    assert machine.given[-1][0][:2] != ["rm", "-f"]


def test_how_far_it_has_come() -> None:
    state = {"bytes": 2**20, "total_bytes": 2**30, "tables": 3, "total_tables": 40}
    assert compare.far(state).strip() == "1.0 MiB of 1.0 GiB, 3 of 40 tables"


def test_tables_are_of_one_database() -> None:
    with pytest.raises(ValueError, match="one database"):
        compare.What(tables=(("public", "t"),))


SOURCE = SourceFacts(server(), {"shop": content(), "orders": content()}, ("secret",), ())


def test_all_databases_are_compared_or_those_that_are_named() -> None:
    assert compare.chosen(SOURCE, ()) == (["shop", "orders"], ["secret"])
    assert compare.chosen(SOURCE, ("orders",)) == (["orders"], [])
    assert compare.chosen(SOURCE, ("orders", "secret")) == (["orders"], ["secret"])


@pytest.mark.parametrize("source", [SOURCE, replace(SOURCE, contents={}, shut=())])
def test_a_database_that_is_not_there(source: SourceFacts) -> None:
    with pytest.raises(OperatorError) as refused:
        compare.chosen(source, ("typo",))
    assert "The source has no database typo" in str(refused.value)
    assert "nothing was changed" in str(refused.value)


def test_a_database_that_the_user_may_not_connect_to() -> None:
    with pytest.raises(OperatorError, match="may not connect to secret"):
        compare.chosen(SOURCE, ("secret",))


def test_a_source_with_nothing_in_it_is_not_identical_to_anything() -> None:
    with pytest.raises(OperatorError, match="no database with anything in it"):
        compare.chosen(replace(SOURCE, contents={}, shut=()), ())


def test_a_materialized_view_that_was_refreshed_here_is_no_difference() -> None:
    stale = {**table("v"), **differing(changed=2), "view": True}
    found = judged.database("shop", database(tables=[table(), stale]), judged.roles_of(ROLES))
    assert found.row_differences == []
    assert [each.names for each in found.left_out if each.reason == left_out.STALE_VIEW] == [
        ["public.v"]
    ]


def test_settings_of_a_role_that_only_this_server_has_are_no_difference() -> None:
    ours = whole(
        roles={**whole()["roles"], "pooler": role_here()},
        settings=[{"role": "pooler", "database": None, "values": ["statement_timeout=0"]}],
    )
    raw = found()
    assert compared({**raw, "server": {"source": whole(), "here": ours}}).identical
