"""A machine and its disk are really gone: made anew, and brought back into its role by the page."""

from pathlib import Path

import pytest

from tests.lab.recovery_site import Stack, read

pytestmark = pytest.mark.thorough


def test_the_database_machine(site: Stack, tmp_path: Path) -> None:
    """Barman had confirmed every commit: none that was acknowledged is missing."""
    site.wait_protected()
    site.new_ledger()
    ledger = tmp_path / "ledger"
    with site.writing(ledger):
        site.wait_for_rows(ledger, 100)
        site.up.lose("postgres-lab")
    said = site.up.follow("database-machine-is-gone", codes={2: 1})
    assert "Barman to connect to PostgreSQL" in said[1]
    assert "PROTECTED" in said[2]
    assert {e.id for e in read(ledger)} <= site.ids()
    site.wait_protected()


def test_the_backup_machine(site: Stack, tmp_path: Path) -> None:
    site.new_ledger()
    ledger = tmp_path / "ledger"
    with site.writing(ledger):
        site.wait_for_rows(ledger, 20)
        site.up.lose("barman-lab")
        (*_, said) = site.up.follow("backup-machine-is-gone")
        site.wait_for_rows(ledger, len(read(ledger)) + 20)
    assert "PROTECTED" in said
    assert {e.id for e in read(ledger)} <= site.ids()
    site.wait_protected()
