"""What cannot work is refused before anything is touched, or undone when it is found later."""

import json
import subprocess
import time

import pytest

from ops.recover.procedure import procedure
from tests.support.fickle_index import ALL_OF_IT, CHANGED_COLLATION
from tests.support.ledger import moment
from tests.support.running import kill_at, wait_for
from tests.support.site import Site

pytestmark = pytest.mark.recovery

# With every effect but one left out, the next step's guard is what stands before the data.
WITHOUT_THE_STOP_STEP = """
from ops.recover import cluster
cluster.stop = lambda run: "not stopped at all"
"""
SAVED = [step.name for step in procedure("recover")].index("save") + 1


def said_by(done: subprocess.CompletedProcess[str]) -> str:
    """Everything it said, without the breaks of lines that are longer than the screen."""
    return " ".join((done.stdout + done.stderr).split())


def refused(site: Site, *words: str) -> str:
    """What the refusal says; the server did not notice anything."""
    said = site.refused(*words)
    assert "Nothing was changed." in said
    return said


def newest_backup(site: Site) -> str:
    return json.loads(site.stack.ops("backups", "--json").stdout)["backups"][0]["id"]


def test_a_damaged_backup(site: Site, unverified: None) -> None:
    site.stack.follow("no-good-backup")
    backup = newest_backup(site)
    with site.stack.damaged(f"/data/barman/pg/base/{backup}/data/base.tar.zst"):
        assert f"Backup {backup} is damaged" in refused(site)
        assert f"ops verify {backup}" in refused(site, "--backup-id", backup)
        site.stack.follow("backup-is-damaged")
    planned = said_by(site.stack.ops("recover", "--dry-run", "--backup-id", backup))
    assert "every file is as PostgreSQL sent it" in planned


def test_no_room_on_either_side(site: Site) -> None:
    with site.filled("postgres-lab", 512 * 2**20):
        assert "enlarge postgresDiskGb" in refused(site)
        cloned = site.stack.ops("clone", "--immediate", check=False)
        assert cloned.returncode == 2
        assert "enlarge postgresDiskGb" in said_by(cloned)
    with site.filled("barman-lab", 512 * 2**20):
        assert "enlarge barmanDiskGb" in refused(site)


def test_a_disk_that_fills_up_later_undoes_it(site: Site) -> None:
    site.new_ledger()
    ids = {commit.id for commit in site.write_for(0.2)}
    kill_at(site.stack.start_ops("recover", "--yes"), SAVED)
    with site.filled("postgres-lab", 4 * 2**20):
        done = site.stack.ops("recover", "--resume", check=False)
    assert done.returncode == 2
    assert "Step restore failed" in said_by(done)
    assert "No space left" in said_by(done)
    assert "put back as it was" in said_by(done)
    assert site.ids() == ids
    site.stack.until_content()


def test_a_damaged_index_in_what_was_restored_undoes_it(site: Site) -> None:
    site.new_ledger()
    site.sql(CHANGED_COLLATION)
    try:
        # Clients try to write all the time: none may be let in before the check, for what they
        # were acknowledged would be gone.
        with site.writing(1) as ledger:
            ledger.wait_for_more(20, 60)
            done = site.stack.ops("recover", "--yes", check=False)
            ledger.wait_for_more(20, 60)
        assert done.returncode == 2, done.stdout
        assert "damaged: app.public.fickle_i" in said_by(done)
        assert "--accept-damage" in said_by(done)
        assert "put back as it was" in said_by(done)
        assert site.lost(ledger) == set()
        assert site.sql("SELECT count(*) FROM pg_extension WHERE extname = 'amcheck'") == "0"
    finally:
        site.sql(ALL_OF_IT)
    site.stack.until_content()


def test_damaged_wal_is_not_the_end_of_the_wal(site: Site, unverified: None) -> None:
    site.new_ledger()
    with site.writing(1) as ledger:
        ledger.wait_for_more(20, 60)
        path = site.stack.archived_segment()
        ledger.wait_for_more(20, 60)
        behind = time.time()
        time.sleep(0.5)
        ledger.wait_for_more(20, 60)
        site.stack.archived_segment()
    name = path.rsplit("/", 1)[1]
    with site.stack.damaged(path):
        for words in (["clone", "--target-time", moment(behind)], ["recover", "--yes"]):
            done = site.stack.ops(*words, check=False)
            assert done.returncode == 2, done.stdout
            assert f"Barman has the WAL file {name} and cannot read it" in said_by(done)
        assert "put back as it was" in said_by(done)
        assert site.on_postgres("ls /data/clones") == ""
        assert site.ids() == ledger.ids
    site.stack.until_content()
    # The same with the file whole again.
    site.stack.ops("clone", "--target-time", moment(behind))
    found = site.in_clone("SELECT id FROM ledger")
    site.stack.ops("clone", "--drop")
    assert {commit.id for commit in ledger.commits if commit.after < behind} <= {
        int(line) for line in found.split()
    }


def test_an_incremental_backup_is_left_out(site: Site) -> None:
    site.sql("ALTER SYSTEM SET summarize_wal = on")
    site.sql("SELECT pg_reload_conf()")
    try:
        # Of plain files: Barman 3.13 takes no incremental on a compressed one.
        site.on_barman("runuser -u barman -- barman -q backup --immediate-checkpoint pg")
        full = newest_backup(site)
        site.stack.archived_segment()
        site.stack.barman("check-backup", "pg", full)
        site.sql("CREATE TABLE changed AS SELECT generate_series(1, 1000) AS id; CHECKPOINT")
        site.on_barman(f"runuser -u barman -- barman -q backup --incremental {full} pg")
        incremental = newest_backup(site)
        assert incremental != full
        site.stack.archived_segment()
        planned = said_by(site.stack.ops("recover", "--dry-run"))
        assert f"backup {full}," in planned
        assert "incremental backups are left out" in planned and incremental in planned
        assert f"an incremental on {full}" in refused(site, "--backup-id", incremental)
        site.stack.ops("drill", "--now")
    finally:
        site.sql("DROP TABLE IF EXISTS changed")
        site.sql("ALTER SYSTEM RESET summarize_wal")
        site.sql("SELECT pg_reload_conf()")
    site.on_barman(f"runuser -u barman -- barman -q delete pg {incremental}")
    site.stack.until_content()


def test_the_guard_stands_where_the_stop_step_does_nothing(site: Site) -> None:
    before = site.alive()
    done = site.stack.ops_patched(WITHOUT_THE_STOP_STEP, "recover", "--yes")
    assert done.returncode == 2
    assert "PostgreSQL does not stop" in said_by(done)
    assert "put back as it was" in said_by(done)
    assert site.alive() == before
    site.stack.until_content()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--target-time", "2999-01-01 00:00:00Z"], "in the future"),
        (["--target-time", "2020-01-01 00:00:00Z"], "nothing older can be restored"),
        (["--target-xid", "4000000000"], "No WAL that Barman holds contains transaction"),
        (["--target-name", "never-made"], "No WAL that Barman holds contains restore point"),
        (["--target-lsn", "FFFF/0"], "outside the WAL that can be replayed"),
        (["--backup-id", "20200101T000000"], "There is no backup 20200101T000000"),
        (["--timeline", "4711"], "Barman holds nothing of timeline 4711"),
    ],
)
def test_a_point_that_is_none(site: Site, words: list[str], said: str) -> None:
    assert said in refused(site, *words)


def test_a_second_one_is_told_whose_the_first_is(site: Site) -> None:
    first = site.stack.start_ops("recover", "--yes")
    wait_for(first, 1)
    second = site.stack.ops("recover", "--yes", check=False)
    resumed = site.stack.ops("recover", "--abort", check=False)
    rest, _ = first.communicate()
    assert (second.returncode, resumed.returncode) == (2, 2)
    assert "A run is under way: recover" in said_by(second)
    assert "Another runbook is at work on barman-lab: recover" in said_by(resumed)
    assert first.returncode == 0, rest
    site.stack.assert_protected()
