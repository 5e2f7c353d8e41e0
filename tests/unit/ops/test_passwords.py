"""Passwords of a restored server: changed where they are old, and never in clear."""

import json

from hypothesis import given
from hypothesis import strategies as st

from host.domain.quoting import pgpass_field, pgpass_fields
from host.domain.scram import scram_verifier
from ops.reach import outputs
from ops.recover import passwords
from tests.unit.ops.test_outputs import stack


def test_only_old_passwords_are_changed_and_none_is_in_clear() -> None:
    stored = {
        "app": scram_verifier("former", b"salt"),
        "barman": scram_verifier("same", b"salt"),
        "peer only": "",
    }
    wanted = {"app": "hunter2", "barman": "same", "peer only": "x", "made later": "y"}
    found = passwords.changes(wanted, stored)
    assert sorted(found) == ["app", "peer only"]
    assert found["app"].startswith('ALTER ROLE "app" PASSWORD \'SCRAM-SHA-256$4096:')
    assert "hunter2" not in found["app"]


def test_owners_come_out_of_the_connection_strings() -> None:
    database = {
        "owner": "app",
        "uri": "postgresql://app:p%40ss@10.0.0.4:5432/app?sslmode=verify-full",
    }
    found = outputs.parse(json.dumps(stack(databases={"app": database})))
    assert passwords.owners(found) == {"app": "p@ss"}


@given(st.lists(st.text(st.characters(exclude_characters="\n\r\0")), min_size=1, max_size=5))
def test_a_password_file_is_read_as_it_was_written(fields: list[str]) -> None:
    assert pgpass_fields(":".join(pgpass_field(field) for field in fields)) == fields
