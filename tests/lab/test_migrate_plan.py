"""`ops migrate plan` against a managed PostgreSQL: what it finds, and everything in its way."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import managed_data
from tests.support.managed_service import ADMIN, NEWER, PASSWORD, ManagedService, managed_service
from tests.support.site import Site
from tests.support.stack import POSTGRES, Stack

pytestmark = [pytest.mark.migration, pytest.mark.deep]

ONLY_ASKED = "The source was only asked; nothing was changed there or here."
AUTHORITY = "/usr/local/share/ca-certificates/service.crt"
# An extension that no other server has.
HOMEMADE = "/usr/share/postgresql/15/extension/homemade"


class Planner:
    """Who types the command."""

    def __init__(self, stack: Stack, passfile: Path) -> None:
        self.stack = stack
        self.passfile = passfile

    def run(self, source: str, *words: str) -> "subprocess.CompletedProcess[str]":
        options = ("--passfile", str(self.passfile))
        return self.stack.ops("migrate", "plan", source, *options, *words, check=False)

    def plan(self, source: str, code: int = 0) -> dict[str, Any]:
        """What it finds."""
        done = self.run(source, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    def refused(self, source: str) -> list[tuple[str, str]]:
        """Why it is not possible as things are, and what would make it so."""
        found = self.plan(source, 1)["refusals"]
        return [(each["text"], each["next_command"]) for each in found]

    def failed(self, source: str) -> str:
        """Why it could not ask, on one line."""
        done = self.run(source)
        assert done.returncode == 2, done.stdout + done.stderr
        said = " ".join(done.stderr.split())
        assert ONLY_ASKED in said and "Next:" in said
        assert PASSWORD not in said
        return said


@pytest.fixture
def planner(stack: Stack, passfile: Path) -> Planner:
    return Planner(stack, passfile)


def fingerprint(managed: ManagedService) -> str:
    """All that a look must not change at the source: its definitions and how much was written."""
    return managed.sql(
        "SELECT max(oid) FROM pg_class; SELECT count(*) FROM pg_roles;"
        "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables;"
        "SELECT slot_name FROM pg_replication_slots; SELECT rolname, rolreplication FROM pg_roles",
        managed_data.SHOP,
    )


def test_the_page(stack: Stack, managed: ManagedService, passfile: Path) -> None:
    before = fingerprint(managed)
    (said,) = stack.follow(
        "moving-in",
        {"old.postgres.database.azure.com": managed.address, "old.pgpass": str(passfile)},
    )
    plain = " ".join(said.split())
    for words in (
        f"From PostgreSQL 15.{managed.sql('SHOW server_version').split('.')[1].split()[0]}",
        f"{managed.address}:5432 (azure, TLSv1.3) as {ADMIN}",
        "database azure_maintenance, database azure_sys, role azure_pg_admin, role azuresu",
        "Text sorts by en_US.UTF-8 there and by code points here",
        "wal_level is replica, not logical",
        f'ALTER ROLE "{ADMIN}" REPLICATION;',
        "It can be copied. Nothing was changed, there or here.",
    ):
        assert words in plain, said
    assert fingerprint(managed) == before


def test_the_time_that_a_move_takes_is_measured(planner: Planner, managed: ManagedService) -> None:
    before = fingerprint(managed)
    done = planner.run(managed.conninfo(), "--measure", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)["measured"]
    assert found["bytes_per_s"] > 1 << 20
    assert 0 < found["cutover_s"] < found["copy_s"]
    assert fingerprint(managed) == before
    left = planner.stack.on(POSTGRES, "ls /run/postgresql")
    assert "pgpass" not in left


def test_everything_there_is_found(planner: Planner, managed: ManagedService) -> None:
    found = planner.plan(managed.conninfo())
    assert (found["source"]["service"], found["source"]["tls"]) == ("azure", "TLSv1.3")
    assert found["source"]["replication"] is False
    orders, shop = found["databases"]
    assert (orders["name"], shop["name"]) == (managed_data.ORDERS, managed_data.SHOP)
    assert shop["owner"] == managed_data.OWNER
    assert shop["order_changes"] and not shop["exists_here"]
    names = {
        "partitioned": ["public.auftrag"],
        "without_key": ['lager."log ohne Schlüssel"', "public.leer"],
        "unlogged": ["lager.zwischenspeicher"],
        "materialized_views": ["public.umsatz"],
        "generated_columns": ['public."Kunde".name_klein'],
        "identity_columns": ['public."Kunde".id', "public.auftrag.id"],
        "triggers": ['public."Kunde": abgeschaltet', 'public.auftrag: "gezählt"'],
        "event_triggers": ["wache"],
        "publications": ["nachrichten"],
        "row_security": ["public.vertraulich"],
        "invalid_indexes": ["lager.zerbrochen"],
        "text_indexes": [
            'public."Kunde_e-mail_key"',
            'public."Kunde_name_idx"',
            "public.ereignis_was_idx",
        ],
        "superuser_objects": ["public.kein_ddl()", "wache"],
    }
    assert {name: shop[name] for name in names} == names
    assert (shop["tables"], shop["sequences"], shop["large_objects"]) == (9, 3, 2)
    extensions = {each["name"]: each["here"] for each in shop["extensions"]}
    assert set(extensions) == {"citext", "hstore", "pg_trgm", "uuid-ossp"}
    assert all(extensions.values())
    assert [(each["name"], each["here"]) for each in shop["collations"]] == [("de-x-icu", True)]
    assert [role["name"] for role in found["roles"]] == [
        *(ADMIN, managed_data.READER, "report@example.org", managed_data.OWNER)
    ]
    assert {each["name"] for each in found["settings"]} >= {"lc_time", "shared_preload_libraries"}
    assert found["room"][0]["needed_bytes"] > sum(each["size_bytes"] for each in (orders, shop))


def test_the_password_stays_where_it_was(
    planner: Planner, managed: ManagedService, stack: Stack
) -> None:
    planner.plan(managed.conninfo())
    assert stack.on(POSTGRES, "ls -A /run/postgresql | grep '^tmp' || true") == ""
    # As it is, or as it is written in a password file.
    hard = r"it.s a .?: hard"
    looked = f"grep -rlE '{hard}' /var/log /run /tmp 2>/dev/null; journalctl | grep -E '{hard}'"
    assert stack.on(POSTGRES, f"({looked}) || true") == ""


def test_what_follows_from_changes_there(planner: Planner, managed: ManagedService) -> None:
    managed.sql(
        "BEGIN; INSERT INTO abteilung VALUES (2, 1); PREPARE TRANSACTION 'vergessen'",
        managed_data.SHOP,
    )
    managed.let_replicate(True)
    try:
        with managed.parameter("wal_level", "logical"):
            texts = [each["text"] for each in planner.plan(managed.conninfo())["for_following"]]
    finally:
        managed.let_replicate(False)
        managed.sql("ROLLBACK PREPARED 'vergessen'", managed_data.SHOP)
    prepared, keyless = texts
    assert "The prepared transaction 'vergessen' in shop" in prepared
    assert 'could be followed has lager."log ohne Schlüssel"' in keyless


def test_wrong_password(stack: Stack, managed: ManagedService, tmp_path: Path) -> None:
    passfile = tmp_path / "passfile"
    passfile.write_text("*:*:*:*:another\n")
    passfile.chmod(0o600)
    said = Planner(stack, passfile).failed(managed.conninfo())
    assert f"does not accept that password for {ADMIN}" in said


def test_no_route(planner: Planner, managed: ManagedService) -> None:
    with managed.firewalled():
        said = planner.failed(managed.conninfo())
    assert f"{managed.address}:5432 does not answer {POSTGRES}" in said
    assert "firewall-rule create" in said
    assert "knows no host called" in planner.failed("host=old.invalid user=dbadmin")


def test_tls_refused(planner: Planner, managed: ManagedService) -> None:
    with managed.without_tls():
        assert "speaks no TLS" in planner.failed(managed.conninfo())
    said = planner.failed(managed.conninfo(sslmode="disable"))
    assert f"does not let {ADMIN} in from {POSTGRES} with sslmode=disable" in said


def test_a_certificate_is_verified_when_asked(
    planner: Planner, managed: ManagedService, stack: Stack
) -> None:
    verified = managed.conninfo(sslmode="verify-full")
    assert "does not trust the certificate" in planner.failed(verified)
    stack.on(POSTGRES, f"cat >{AUTHORITY} <<'END'\n{managed.authority}END\nupdate-ca-certificates")
    try:
        assert planner.plan(verified)["possible"]
    finally:
        stack.on(POSTGRES, f"rm {AUTHORITY}; update-ca-certificates --fresh")


def test_no_rights(planner: Planner, managed: ManagedService) -> None:
    managed.sql(
        "CREATE ROLE fremd; GRANT CREATE ON SCHEMA public TO fremd; SET ROLE fremd;"
        "CREATE TABLE verborgen (id int PRIMARY KEY); SELECT lo_create(0);",
        managed_data.SHOP,
    )
    managed.sql("ALTER TABLE vertraulich FORCE ROW LEVEL SECURITY", managed_data.SHOP)
    managed.sql(f'REVOKE CONNECT ON DATABASE "{managed_data.ORDERS}" FROM PUBLIC, "shop owner"')
    try:
        reasons = dict(planner.refused(managed.conninfo()))
    finally:
        managed.sql(f'GRANT CONNECT ON DATABASE "{managed_data.ORDERS}" TO PUBLIC')
        managed.sql("ALTER TABLE vertraulich NO FORCE ROW LEVEL SECURITY", managed_data.SHOP)
        managed.sql(
            "SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE lomowner = 'fremd'::regrole;"
            "DROP OWNED BY fremd; DROP ROLE fremd",
            managed_data.SHOP,
        )
    may_not = f"{ADMIN} may not connect to the database {managed_data.ORDERS}."
    assert reasons[may_not].startswith("GRANT CONNECT ON DATABASE")
    unread = reasons[f"{ADMIN} cannot read public.verborgen, large objects (1)."]
    assert unread == f'GRANT fremd TO "{ADMIN}";   (at the source: the owners)'
    hides = f"Row security hides rows from {ADMIN} in public.vertraulich: a copy would lack them."
    assert "BYPASSRLS" in reasons[hides]


def test_missing_extension(planner: Planner, managed: ManagedService) -> None:
    managed.on(
        f"echo \"default_version = '1'\" >{HOMEMADE}.control; echo 'SELECT 1;' >{HOMEMADE}--1.sql"
    )
    managed.sql("CREATE EXTENSION homemade", managed_data.SHOP)
    try:
        ((reason, then),) = planner.refused(managed.conninfo())
    finally:
        managed.sql("DROP EXTENSION homemade", managed_data.SHOP)
    assert reason == "This server has no extension homemade, which is used in shop."
    assert then.startswith('DROP EXTENSION "homemade";')


def test_an_order_that_is_not_known_here(planner: Planner, managed: ManagedService) -> None:
    index = 'CREATE INDEX deutsch ON "Kunde" (name COLLATE "de_DE.utf8")'
    managed.sql(index, managed_data.SHOP)
    try:
        ((reason, then),) = planner.refused(managed.conninfo())
    finally:
        managed.sql("DROP INDEX deutsch", managed_data.SHOP)
    assert f"in an order that {POSTGRES} does not know: de_DE.utf8." in reason
    assert "localedef -i de_DE" in then


@contextmanager
def made_here(stack: Stack, made: str, taken_away: str) -> Iterator[None]:
    """SQL at the stack's own server, a statement a line, and other such afterwards."""
    try:
        for line in made.splitlines():
            stack.sql(line)
        yield
    finally:
        for line in taken_away.splitlines():
            stack.sql(line)


def test_a_name_taken_here(planner: Planner, managed: ManagedService, stack: Stack) -> None:
    with made_here(stack, "CREATE DATABASE shop", "DROP DATABASE shop"):
        # Empty, it is nobody's.
        _, shop = planner.plan(managed.conninfo())["databases"]
        assert shop["exists_here"]
        stack.sql("CREATE TABLE t (id int)", "shop")
        ((reason, then),) = planner.refused(managed.conninfo())
        assert reason == "There is a database shop here, and it is not empty."
        assert then.startswith('ALTER DATABASE "shop" RENAME TO "shop_before";')
    role = "CREATE ROLE reader\nCREATE TABLE theirs (id int)\nALTER TABLE theirs OWNER TO reader"
    with made_here(stack, role, "DROP OWNED BY reader\nDROP ROLE reader"):
        ((reason, _),) = planner.refused(managed.conninfo())
        assert reason == "There is a role reader here that owns something: both would be one."


def test_too_little_room_here(planner: Planner, managed: ManagedService, site: Site) -> None:
    with site.filled(POSTGRES, 5 * 2**30):
        ((reason, then),) = planner.refused(managed.conninfo())
    assert f"/data of {POSTGRES} has 5.0 GiB free and needs" in reason
    assert then == "pulumi config set postgresDiskGb …, then pulumi up"


def test_what_is_no_source(planner: Planner) -> None:
    done = planner.run(f"postgresql://{ADMIN}:hunter2@old.invalid/postgres")
    assert done.returncode == 2
    assert "has a password in it" in done.stderr and "Nothing was changed." in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


def roles_and_databases(stack: Stack) -> str:
    """What a move begins to make here."""
    return stack.sql("SELECT string_agg(rolname, ',' ORDER BY 1) FROM pg_roles") + stack.sql(
        "SELECT string_agg(datname, ',' ORDER BY 1) FROM pg_database"
    )


def test_a_source_that_is_newer_than_this_server(
    stack: Stack, passfile: Path, image: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if image != "debian-13":
        pytest.skip("there is no PostgreSQL newer than this image's")
    with managed_service(tmp_path_factory.mktemp("newer"), NEWER) as newer:
        planner = Planner(stack, passfile)
        (refusal,) = planner.refused(newer.conninfo())
        assert "The source is PostgreSQL 18, this server 17" in refusal[0]
        assert "the setting image" in refusal[1]
        before = roles_and_databases(stack)
        for words in (("copy",), ("follow",)):
            source = (newer.conninfo(), "--passfile", str(passfile))
            done = stack.ops("migrate", *words, *source, "--yes", check=False)
            assert done.returncode != 0
            assert "The source is PostgreSQL 18" in " ".join((done.stdout + done.stderr).split())
        assert roles_and_databases(stack) == before
