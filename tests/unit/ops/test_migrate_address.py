"""Connection strings as operators type them, and what is made of them for libpq."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from ops.errors import OperatorError
from ops.migrate.address import Address, parse

FULL = Address("db.example.org", 6432, "shop eu", "db admin", "verify-full")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host=db user=me", Address("db", 5432, "postgres", "me", "require")),
        ("postgresql://me@db", Address("db", 5432, "postgres", "me", "require")),
        ("postgres://me@[::1]:5433/x", Address("::1", 5433, "x", "me", "require")),
        (
            "host=db.example.org port=6432 dbname='shop eu' user='db admin' sslmode=verify-full",
            FULL,
        ),
        (
            "postgresql://db%20admin@db.example.org:6432/shop%20eu?sslmode=verify-full",
            FULL,
        ),
        ("postgresql:///x?host=db&user=me", Address("db", 5432, "x", "me", "require")),
        (
            "host = db user = 'o\\'neill' sslmode=disable",
            Address("db", 5432, "postgres", "o'neill", "disable"),
        ),
    ],
)
def test_both_forms_are_read(text: str, expected: Address) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("host=db user=me password=hunter2", "has a password in it"),
        ("postgresql://me:hunter2@db/x", "has a password in it"),
        ("postgresql://me@db/x?password=hunter2", "has a password in it"),
        ("user=me", "does not say host"),
        ("host=db", "does not say user"),
        ("", "does not say host and user"),
        ("host=db user=me sslmode=prefer", "sslmode is one of require, verify-full, disable"),
        ("host=db user=me port=none", "port is a number"),
        ("host=db user=me port=70000", "port is a number"),
        ("host=one,two user=me", "one name or address"),
        ("host=/run/postgresql user=me", "one name or address"),
        ("host=db user=me target_session_attrs=any", "target_session_attrs is not used"),
        ("mysql://me@db/x", "begins with postgresql://"),
        ("host='db user=me", "cannot be read"),
    ],
)
def test_what_is_no_source_is_refused_and_not_repeated(text: str, reason: str) -> None:
    with pytest.raises(OperatorError) as refused:
        parse(text)
    assert reason in str(refused.value)
    assert "Nothing was changed." in str(refused.value)
    assert "Next: python -m ops migrate plan" in str(refused.value)
    assert "hunter2" not in str(refused.value)


@given(st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1))
def test_any_name_reaches_libpq_as_it_is(name: str) -> None:
    written = Address(name, 5432, "postgres", name, "require").conninfo(name)
    read = conninfo_to_dict(written)
    assert (read["host"], read["user"], read["dbname"]) == (name, name, name)


def test_a_session_can_only_read_and_a_certificate_is_verified_when_asked() -> None:
    verified = FULL.conninfo("x")
    assert "options='-c default_transaction_read_only=on'" in verified
    assert "sslmode='verify-full'" in verified and "sslrootcert='system'" in verified
    assert "sslrootcert" not in parse("host=db user=me").conninfo("x")


def test_time_outs_at_the_source_do_not_reach_what_works_for_hours() -> None:
    found = parse("host=old user=dbadmin")
    said = found.for_work("shop")
    # libpq takes the last of two.
    assert said.rindex("statement_timeout=0") > said.rindex("dbname='shop'")
    assert "statement_timeout" not in found.conninfo("shop")
    assert "default_transaction_read_only=on" in said.rpartition("options=")[2]
