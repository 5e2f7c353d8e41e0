"""What pg_dump says of two databases, compared entry by entry."""

from typing import Any

from ops.onmachine.compare import entries
from ops.onmachine.compare.entries import Entry, Key

CHECK = "CONSTRAINT c CHECK ((a)::text = ANY ({}))"
GIVEN, READ = "(ARRAY['x'::character varying])::text[]", "ARRAY[('x'::character varying)::text]"


def entry(kind: str, name: str, text: str, owner: str = "app", schema: str = "public") -> str:
    return (
        f"--\n-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: {owner}\n--\n\n{text}\n\n\n"
    )


def dump(*parts: str, key: str = "k1") -> str:
    """As pg_restore prints an archive."""
    begin = (
        f"--\n-- PostgreSQL database dump\n--\n\n\\restrict {key}\n\nSET row_security = off;\n\n"
    )
    end = f"--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict {key}\n\n"
    return begin + "".join(parts) + end


TABLE = entry(
    "TABLE", "t", "CREATE TABLE public.t (\n    a text\n);\n\n\nALTER TABLE public.t OWNER TO app;"
)
TRIGGER = entry(
    "TRIGGER", "t tr", "CREATE TRIGGER tr BEFORE INSERT ON public.t EXECUTE FUNCTION f();"
)
OFF = "\n\nALTER TABLE public.t DISABLE TRIGGER tr;"


def differences(source: str, here: str, read: str | None = None) -> list[dict[str, Any]]:
    again = None if read is None else entries.parse(read)
    return entries.differences(entries.parse(source), entries.parse(here), again)


def test_an_entry_is_its_statements_and_whom_it_belongs_to() -> None:
    found = entries.parse(dump(TABLE, TRIGGER))
    assert found[Key("TABLE", "public", "t")] == Entry(
        "CREATE TABLE public.t (\n    a text\n);", "app"
    )
    assert found[Key("TRIGGER", "public", "t tr")].text.endswith("FUNCTION f();")


def test_what_stands_between_entries_and_their_order_do_not_matter() -> None:
    between = TABLE + "SET default_tablespace = '';\n\n"
    assert not differences(dump(between, TRIGGER), dump(TRIGGER, TABLE, key="k2"))


def test_what_is_missing_or_added_is_named() -> None:
    (lost,) = differences(dump(TABLE, TRIGGER), dump(TABLE))
    assert (lost["type"], lost["name"], lost["here"]) == ("TRIGGER", "t tr", None)
    (new,) = differences(dump(TABLE), dump(TABLE, TRIGGER))
    assert (new["type"], new["source"]) == ("TRIGGER", None)


def test_a_trigger_that_is_switched_off() -> None:
    (found,) = differences(dump(TRIGGER), dump(TRIGGER.rstrip() + OFF + "\n\n\n"))
    assert found["here"]["text"].endswith("DISABLE TRIGGER tr;")


def test_an_owner_is_a_difference_of_its_own() -> None:
    (found,) = differences(dump(TABLE), dump(TABLE.replace("app", "dbadmin")))
    assert found["source"]["text"] == found["here"]["text"]
    assert (found["source"]["owner"], found["here"]["owner"]) == ("app", "dbadmin")


def test_grants_are_a_set_in_which_who_granted_counts() -> None:
    one, two = "GRANT SELECT ON TABLE public.t TO a;", "GRANT ALL ON TABLE public.t TO b;"
    as_c = f"SET SESSION AUTHORIZATION c;\n{one}\nRESET SESSION AUTHORIZATION;"
    listed = [entry("ACL", "TABLE t", text) for text in (f"{one}\n{two}", f"{two}\n{one}")]
    assert not differences(dump(listed[0]), dump(listed[1]))
    (found,) = differences(dump(listed[0]), dump(entry("ACL", "TABLE t", f"{two}\n{as_c}")))
    lines = found["here"]["text"].splitlines()
    assert lines == [two, "GRANT SELECT ON TABLE public.t TO a GRANTED BY c;"]


def test_what_this_version_writes_otherwise_is_the_same() -> None:
    given, read = (entry("TABLE", "t", CHECK.format(text)) for text in (GIVEN, READ))
    assert differences(dump(given), dump(read))
    assert not differences(dump(given), dump(read), read=dump(read))


def test_what_differs_is_told_as_this_version_writes_it() -> None:
    given, read = (entry("TABLE", "t", CHECK.format(text)) for text in (GIVEN, READ))
    other = read.replace("'x'", "'y'")
    (found,) = differences(dump(given), dump(other), read=dump(read))
    assert found["source"]["text"] == CHECK.format(READ)


def test_what_this_version_could_not_read_stays_a_difference() -> None:
    given, read = (entry("TABLE", "t", CHECK.format(text)) for text in (GIVEN, READ))
    assert differences(dump(given), dump(read), read=dump())


def test_another_owner_is_seen_however_the_text_is_written() -> None:
    given, read = (entry("TABLE", "t", CHECK.format(text)) for text in (GIVEN, READ))
    (found,) = differences(dump(given), dump(read.replace("app", "b")), read=dump(read))
    assert found["source"]["text"] == found["here"]["text"]
    assert (found["source"]["owner"], found["here"]["owner"]) == ("app", "b")


def test_several_entries_of_one_name_are_compared_as_a_set() -> None:
    first, second = (entry("CAST", "c", f"CREATE CAST {n};", "", "-") for n in (1, 2))
    assert not differences(dump(first, second), dump(second, first))
    assert differences(dump(first, second), dump(first))


def test_a_function_that_looks_like_an_entry_hides_nothing() -> None:
    body = entry("TABLE", "fake", "x")
    function = entry("FUNCTION", "f()", f"CREATE FUNCTION f() AS $$\n{body}$$;")
    assert differences(dump(function), dump(function.replace("x\n", "y\n")))
