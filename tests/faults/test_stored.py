"""What Barman holds, changed behind its back: a byte of a backup, a WAL file."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from tests.faults.expectations import nothing_lost_nor_failed
from tests.faults.report import Report
from tests.support.ledger import Ledger
from tests.support.site import BARMAN, FALLBACK, Site
from tools.faults_page import Row

pytestmark = [pytest.mark.backup, pytest.mark.deep]

STORE = "/data/barman/pg"


# Changes one bit of a file; done again, it is as it was.
FLIP = (
    "python3 -c \"f = open('{}', 'r+b'); f.seek(2000); byte = f.read(1)[0]; f.seek(2000); "
    'f.write(bytes([byte ^ 1]))"'
)


def verified(site: Site, backup: str) -> bool:
    """The word of `ops verify`."""
    return site.stack.ops("verify", backup, check=False).returncode == 0


def backed_up_again(site: Site, ledger: Ledger, row: Row) -> None:
    """A new backup, and it is sound."""
    began = time.monotonic()
    assert verified(site, site.stack.new_backup())
    row.protected_after_s = time.monotonic() - began
    ledger.wait_for_more(50)


# By what the row says of it: a file of the backup, and what is done to it.
HARMS = {
    "a flipped byte in a backup": ("base.tar.zst", FLIP),
    "an archive of a backup cut off": ("base.tar.zst", "truncate --size=-4096 {}"),
    "the archive of a tablespace missing in a backup": ("[0-9]*.tar.zst", "rm {}"),
    "an edited manifest of a backup": ("backup_manifest", 'sed -i \'s/"Size": 3,/"Size": 4,/\' {}'),
}


@contextmanager
def harmed(site: Site, backup: str, name: str, how: str) -> Iterator[None]:
    """A file of the backup is not what it was."""
    file = site.stack.on(BARMAN, f"ls {STORE}/base/{backup}/data/{name}").strip()
    site.stack.on(BARMAN, f"cp --preserve {file} /root/sound && {how.format(file)}")
    try:
        yield
    finally:
        site.stack.on(BARMAN, f"cp --preserve /root/sound {file}")


@pytest.mark.parametrize("harm", HARMS)
def test_a_harmed_backup(site: Site, report: Report, harm: str) -> None:
    row = Row(harm, FALLBACK)
    older, damaged = site.stack.new_backup(), site.stack.new_backup()
    with site.writing() as ledger:
        # As long as it is sound nobody complains.
        assert verified(site, damaged)
        assert site.stack.backups()[damaged]["restorable"]
        with harmed(site, damaged, *HARMS[harm]):
            assert not verified(site, damaged)
            assert not site.stack.backups()[damaged]["restorable"]
            assert site.stack.backups()[damaged]["status"] == "FAILED"
            assert f"backup {damaged} failed its verification" in site.stack.reasons()
            assert damaged in site.refused("--backup-id", damaged)
            planned = site.stack.ops("recover", "--dry-run").stdout
            assert older in planned
            assert damaged not in planned
            backed_up_again(site, ledger, row)
        # Whole again, it counts again.
        assert verified(site, damaged)
        assert site.stack.backups()[damaged]["restorable"]
    row.seen = "ops verify finds it; never counted, never restored, the older one is used instead"
    nothing_lost_nor_failed(site, ledger, row, report)
    site.stack.until_content()


@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_archived_wal(site: Site, report: Report, how: str) -> None:
    row = Row(f"a {how} archived WAL file", FALLBACK)
    backup = site.stack.new_backup()
    with site.writing() as ledger:
        before = datetime.now(UTC)
        # Commits after it, in a segment that stays whole.
        ledger.wait_for_more(50)
        site.stack.archived_segment()
        path = site.stack.archived_segment()
        site.stack.archived_segment()
        assert verified(site, backup)
        behind = datetime.now(UTC)
        ledger.wait_for_more(50)
        site.stack.archived_segment()
        planned = site.stack.ops("recover", "--dry-run", "--target-time", behind.isoformat())
        assert backup in planned.stdout
        if how == "flipped":
            site.stack.on(BARMAN, FLIP.format(path))
        else:
            site.stack.on(BARMAN, f"mv {path} /root/hidden")
        try:
            if how == "flipped":
                assert not verified(site, backup)
            assert "gap" in site.refused("--target-time", behind.isoformat())
            # What lies before the gap can still be had.
            site.stack.ops("recover", "--dry-run", "--target-time", before.isoformat())
            backed_up_again(site, ledger, row)
            site.stack.until_content()
            stretches = json.loads(site.stack.ops("window", "--json").stdout)["intervals"]
            assert stretches[-1]["after_gap"]
        finally:
            if how == "flipped":
                site.stack.on(BARMAN, FLIP.format(path))
            else:
                site.stack.on(BARMAN, f"mv /root/hidden {path}")
        assert verified(site, backup)
    row.seen = (
        "the gap shows in ops window; a time behind it is refused until there is a new backup"
    )
    nothing_lost_nor_failed(site, ledger, row, report)
    site.stack.until_content()
