"""What psql says when a source cannot be asked, and what the operator is told."""

import pytest

from ops.migrate.complaints import explain
from tests.unit.ops.migrate_facts import ADDRESS

AT = 'psql: error: connection to server at "old.example.org" (20.1.2.3), port 5432 failed:'
INSIDE = 'psql: error: connection to server at "old.example.org" (10.1.2.3), port 5432 failed:'


@pytest.mark.parametrize(
    ("said", "happened", "then"),
    [
        (
            'psql: error: could not translate host name "old.example.org" to address: Name or',
            "postgres-lab knows no host called old.example.org.",
            "check the name",
        ),
        (
            f"{AT} timeout expired",
            "does not answer postgres-lab within 15 s",
            "firewall-rule create",
        ),
        (
            f"{INSIDE} timeout expired",
            "10.1.2.3 is a private address",
            "az network nsg rule create",
        ),
        (f"{AT} Connection refused", "Nothing listens at old.example.org:5432", "host and port"),
        (
            f"{AT} server does not support SSL, but SSL was required",
            "speaks no TLS",
            "sslmode=disable",
        ),
        (
            f"{AT} SSL error: certificate verify failed",
            "does not trust the certificate",
            "update-ca-certificates",
        ),
        (
            f'{AT} FATAL:  no pg_hba.conf entry for host "20.9.9.9", user "dbadmin", no encryption',
            "does not let dbadmin in from postgres-lab with sslmode=require",
            "sslmode=require",
        ),
        (
            f'{AT} FATAL:  password authentication failed for user "dbadmin"\n'
            'password retrieved from file "/run/postgresql/tmp.x"',
            "does not accept that password for dbadmin",
            "az postgres flexible-server update",
        ),
        (
            f"{AT} FATAL:  unsupported startup parameter: options",
            "a connection pooler answers",
            "5432",
        ),
        (
            f"{AT} FATAL:  remaining connection slots are reserved",
            "no connection left",
            "end idle connections",
        ),
        (
            f'{AT} FATAL:  database "shop" does not exist',
            "has no database shop",
            "dbname=postgres",
        ),
    ],
)
def test_each_has_its_sentence_and_its_next_step(said: str, happened: str, then: str) -> None:
    error = explain(said, ADDRESS, "shop", "postgres-lab")
    assert happened in error.happened
    assert error.state == "The source was only asked; nothing was changed there or here."
    assert error.next_command and then in error.next_command
    assert "/run/postgresql" not in str(error)
    # Whoever knows PostgreSQL wants its own words as well.
    assert said.split()[-3].strip('"') in str(error) or "retrieved" in said


def test_what_is_not_known_is_passed_on() -> None:
    error = explain("server closed the connection", ADDRESS, "shop", "postgres-lab")
    assert error.happened == (
        "The database shop at old.example.org:5432 cannot be asked: server closed the connection"
    )
