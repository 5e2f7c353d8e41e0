"""A backup that breaks while it is made."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.faults.expectations import nothing_lost, nothing_lost_nor_failed
from tests.faults.report import Report
from tests.faults.start import Start
from tests.support.ledger import Ledger
from tests.support.site import BARMAN, FALLBACK, POSTGRES, Site
from tests.support.waiting import eventually
from tools.faults_page import Row

pytestmark = [pytest.mark.backup, pytest.mark.deep]

# Freezes pg_basebackup once the data directory has begun to arrive, and prints where it goes.
FREEZE = """
for n in $(seq 2000); do
  pid=$(pgrep -o -u barman -x pg_basebackup) &&
    data=$(tr '\\0' '\\n' <"/proc/$pid/cmdline" | sed -n 's/^--pgdata=//p') &&
    [ -s "$data/base.tar.zst" ] && kill -STOP "$pid" && echo "$data" && exit
  sleep 0.01
done
exit 1
"""
# As cron does.
NIGHTLY = "runuser -u barman -- barman-guarded backup pg"
BASE = "/data/barman/pg/base"
# Half of a backup takes a moment, with this in it, of which compression leaves more than half.
BULK = """
CREATE TABLE bulk AS SELECT i, string_agg(md5(i::text || n), '')
FROM generate_series(1, 100000) i, generate_series(1, 20) n GROUP BY i
"""


@pytest.fixture(scope="module", autouse=True)
def bulk(request: pytest.FixtureRequest, pair: Site, start: Start) -> Iterator[None]:
    start.reach(FALLBACK, request.session.testsfailed)
    pair.stack.sql(f"SET synchronous_commit = local; {BULK}", "app")
    yield
    pair.stack.sql("DROP TABLE bulk", "app")


@contextmanager
def half_way(site: Site) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`ops backup --wait`, its pg_basebackup frozen half-way, and the id of the backup."""
    running = site.stack.start_ops("backup", "--wait")
    try:
        data = site.stack.on(BARMAN, FREEZE)
        yield running, data.split("/")[-2]
    finally:
        thaw(site)
        running.communicate()


def thaw(site: Site) -> None:
    site.stack.on(BARMAN, "pkill -CONT -u barman -x pg_basebackup", check=False)


def ended(running: subprocess.Popen[str], code: int) -> str:
    """What the runbook said, on one line, once it has ended with `code`."""
    said, _ = running.communicate(timeout=300)
    assert running.returncode == code, said
    return " ".join(said.split())


def never_used(site: Site, backup: str, status: str) -> None:
    """The backup is shown as what it is, and neither counted nor restored."""
    assert site.stack.backups()[backup]["status"] == status
    assert not site.stack.backups()[backup]["restorable"]
    assert backup in site.refused("--backup-id", backup)
    assert f"the last backup, {backup}," in site.stack.reasons()


def backed_up_again(site: Site, ledger: Ledger, row: Row) -> None:
    """A new backup is all it takes."""
    began = time.monotonic()
    taken = site.stack.new_backup()
    assert site.stack.backups()[taken]["restorable"]
    row.protected_after_s = time.monotonic() - began
    ledger.wait_for_more(50)


def test_backup_killed_half_way(site: Site, report: Report) -> None:
    row = Row("backup killed half-way", FALLBACK)
    with site.writing() as ledger:
        with half_way(site) as (running, backup):
            # Barman first, whatever its number: left alone for a moment, it would see the other one
            # end, and write down that the backup failed.
            site.stack.on(BARMAN, "pkill -KILL -u barman -f 'bin/barman .*backup '")
            # Unless systemd was quicker, which ends what is left of the unit.
            site.stack.on(BARMAN, "pkill -KILL -u barman -x pg_basebackup", check=False)
            assert "killed" in ended(running, 2)
        never_used(site, backup, "STARTED")
        assert "was cut off" in site.stack.reasons()
        row.seen = (
            "status says that it was cut off, ops recover refuses it; the next one is good, "
            "the next nightly one removes what is left"
        )
        backed_up_again(site, ledger, row)
        good = site.stack.backups().keys() - {backup}
        assert backup in site.stack.on(BARMAN, f"ls {BASE}")
        site.stack.on(BARMAN, NIGHTLY)
        assert backup not in site.stack.on(BARMAN, f"ls {BASE}")
        assert good < site.stack.backups().keys() and backup not in site.stack.backups()
    nothing_lost_nor_failed(site, ledger, row, report)
    site.stack.until_content()


def test_two_backups_at_once(site: Site, report: Report) -> None:
    row = Row("two backups at once", FALLBACK)
    with site.writing() as ledger:
        with half_way(site) as (running, backup):
            second = site.stack.ops("backup", "--wait", check=False)
            by_cron = site.stack.on(
                BARMAN, "cd /; runuser -u barman -- barman backup pg 2>&1", check=False
            )
            thaw(site)
            ended(running, 0)
        assert second.returncode == 2
        assert "A backup is already running" in second.stderr
        assert "another backup" in by_cron.lower()
        assert site.stack.backups()[backup]["restorable"]
        assert next(iter(site.stack.backups())) == backup
        row.seen = "the second is refused by ops backup and by Barman, the first is good"
        ledger.wait_for_more(50)
    nothing_lost_nor_failed(site, ledger, row, report)
    site.stack.until_content()


def test_postgres_restarted_during_a_backup(site: Site, report: Report) -> None:
    row = Row("PostgreSQL restarted during a backup", FALLBACK)
    with site.writing() as ledger:
        with half_way(site) as (running, backup):
            site.stack.on(POSTGRES, f"systemctl restart {site.stack.unit}")
            thaw(site)
            assert "failed" in ended(running, 2)
        ledger.wait_for_more(50)
        never_used(site, backup, "FAILED")
        row.seen = "it is FAILED, ops recover refuses it; the next one is good"
        backed_up_again(site, ledger, row)
    nothing_lost(site, ledger, row, report)
    site.stack.until_content()


def test_up_during_a_backup(site: Site, report: Report) -> None:
    row = Row("`pulumi up` during a backup", FALLBACK)
    site.stack.set("retention", "RECOVERY WINDOW OF 8 DAYS")
    try:
        with site.writing() as ledger:
            with half_way(site) as (running, backup):
                site.stack.up()
                thaw(site)
                ended(running, 0)
            assert site.stack.backups()[backup]["restorable"]
            assert "8 DAYS" in site.stack.barman("show-servers", "pg")
            ledger.wait_for_more(50)
    finally:
        site.stack.set("retention", "RECOVERY WINDOW OF 7 DAYS")
        site.stack.up()
    row.seen = "both go through"
    nothing_lost_nor_failed(site, ledger, row, report)
    site.stack.until_content()


def test_barmans_machine_loses_power_during_a_backup(site: Site, report: Report) -> None:
    row = Row("Barman's machine loses power during a backup", FALLBACK)
    with site.writing() as ledger:
        with half_way(site) as (running, backup):
            site.cut_power(BARMAN)
            site.power_on(BARMAN)
            ended(running, 2)
        site.until_protected()
        eventually("ops status to know", lambda: "was cut off" in site.stack.reasons(), 60)
        assert not site.stack.backups().get(backup, {}).get("restorable")
        row.seen = "status says that it was cut off; the next one is good"
        backed_up_again(site, ledger, row)
    nothing_lost_nor_failed(site, ledger, row, report)
    site.stack.until_content()
