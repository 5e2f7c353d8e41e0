"""A machine and its disk are really gone: recreated, and brought back into its role by the page."""

import pytest

from tests.support.site import Site

pytestmark = [pytest.mark.recovery, pytest.mark.deep]


def test_the_database_machine(site: Site) -> None:
    """Barman had confirmed every commit: none that was acknowledged is missing."""
    site.stack.until_content()
    site.new_ledger()
    with site.writing(1) as ledger:
        ledger.wait_for_more(100, 60)
        site.stack.lose("postgres-lab")
    said = site.stack.follow("database-machine-is-gone", codes={2: 1})
    assert "Barman to connect to PostgreSQL" in said[1]
    # Of the update that failed before it, and of nothing else.
    assert "DEGRADED" in said[2], said[2]
    assert said[2].count("next:") == 1, said[2]
    assert "(postgres) is not as the last update" in said[2]
    assert site.lost(ledger) == set()
    site.stack.until_content()


def test_the_backup_machine(site: Site) -> None:
    site.new_ledger()
    with site.writing(1) as ledger:
        site.stack.lose("barman-lab")
        (*_, said) = site.stack.follow("backup-machine-is-gone")
        ledger.wait_for_more(20, 60)
    assert "PROTECTED" in said, said
    assert site.lost(ledger) == set()
    site.stack.until_content()
