"""The server that the tests move away from is as a managed one is."""

import subprocess
from pathlib import Path

import pytest

from tests.support import managed_data
from tests.support.managed_service import ADMIN, PASSWORD, ManagedService

pytestmark = [pytest.mark.migration, pytest.mark.deep]


def connect(
    service: ManagedService, conninfo: str, tmp_path: Path, sql: str
) -> "subprocess.CompletedProcess[str]":
    """From this host, which is on the service's Internet."""
    passfile = tmp_path / "passfile"
    escaped = PASSWORD.replace("\\", "\\\\").replace(":", "\\:")
    passfile.write_text(f"*:*:*:*:{escaped}\n")
    passfile.chmod(0o600)
    (tmp_path / "authority.pem").write_text(service.authority)
    return subprocess.run(
        ["psql", "-XwAtq", "-d", f"{conninfo}&sslrootcert={tmp_path}/authority.pem"],
        input=sql,
        env={"PGPASSFILE": str(passfile), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_speaks_tls_alone_and_can_be_verified(managed: ManagedService, tmp_path: Path) -> None:
    asked = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    verified = managed.conninfo(sslmode="verify-full")
    assert connect(managed, verified, tmp_path, asked).stdout == "t\n"
    plain = connect(managed, managed.conninfo(sslmode="disable"), tmp_path, asked)
    assert "no encryption" in plain.stderr


def test_its_administrator_is_no_superuser(managed: ManagedService, tmp_path: Path) -> None:
    def tried(sql: str) -> str:
        done = connect(managed, managed.conninfo(), tmp_path, sql)
        return (done.stdout + done.stderr).strip()

    may = "rolsuper, rolcreatedb, rolcreaterole, rolreplication"
    assert tried(f"SELECT {may} FROM pg_roles WHERE rolname = current_user") == "f|t|t|f"  # noqa: S608
    for statement in (
        "SELECT * FROM pg_authid",
        "COPY (SELECT 1) TO PROGRAM 'true'",
        "ALTER SYSTEM SET wal_level = 'logical'",
        "ALTER ROLE azuresu PASSWORD 'mine'",
    ):
        assert "permission denied" in tried(statement) or "must be" in tried(statement), statement
    refused = connect(managed, managed.conninfo("azure_maintenance"), tmp_path, "SELECT 1")
    assert "permission denied" in refused.stderr
    managed.let_replicate(True)
    try:
        assert tried(f"SELECT rolreplication FROM pg_roles WHERE rolname = '{ADMIN}'") == "t"  # noqa: S608
    finally:
        managed.let_replicate(False)


def test_it_has_something_of_every_kind(managed: ManagedService) -> None:
    def count(what: str) -> int:
        return int(managed.sql(f"SELECT count(*) FROM {what}", managed_data.SHOP))  # noqa: S608

    assert count('public."Kunde"') == count("auftrag") == managed_data.MANY_ROWS
    assert count("pg_index WHERE NOT indisvalid") == 1
    assert count("pg_largeobject_metadata") == 2
    assert count("pg_event_trigger") == count("pg_publication") == 1
    # A default of Flexible Server, and not the order that this program's server has.
    assert managed.sql("SHOW lc_collate") == "en_US.UTF-8"


def test_behind_its_firewall_it_does_not_answer(managed: ManagedService, tmp_path: Path) -> None:
    quick = f"{managed.conninfo()}&connect_timeout=2"
    with managed.firewalled():
        assert "timeout expired" in connect(managed, quick, tmp_path, "").stderr
    assert connect(managed, quick, tmp_path, "SELECT 1").stdout == "1\n"
