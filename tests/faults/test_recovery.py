"""Faults of a recovery: its way to Barman is cut, and the old server comes back beside the new."""

import json
import time

import pytest

from ops.recover.procedure import procedure
from tests.faults.expectations import nothing_lost, nothing_lost_nor_failed
from tests.faults.report import Report
from tests.support.running import wait_for
from tests.support.site import ADDRESS, BARMAN, FALLBACK, POSTGRES, Site
from tools.faults_page import Row

pytestmark = [pytest.mark.recovery, pytest.mark.deep]

SEGMENTS = 40
# The runbook's own connections come from Barman: only the way to it is closed.
CLOSED = (
    "table inet fault { chain output { type filter hook output priority 0;\n"
    f"ip daddr {ADDRESS[BARMAN]} tcp dport 22 reject with tcp reset\n}}\n}}"
)
OUTAGE_S = 12
SWAP = [step.name for step in procedure("recover")].index("swap") + 1


def test_barman_out_of_reach_while_wal_is_replayed(site: Site, report: Report) -> None:
    """PostgreSQL would take a failed restore_command for the end of the WAL, and promote."""
    row = Row("database lost; Barman out of reach for a while as its WAL is replayed", FALLBACK)
    with site.writing() as ledger:
        for _ in range(SEGMENTS):
            site.stack.sql("SELECT pg_logical_emit_message(false, 'fault', 'x'), pg_switch_wal()")
        ledger.wait_for_more(100)
        site.destroy_database()
    began = time.monotonic()
    running = site.stack.start_ops("recover", "--yes")
    assert running.stdout is not None
    said = closed = ""
    for line in running.stdout:
        said += line
        if "] Replay WAL to the target" in line:
            closed = site.stack.on(POSTGRES, f"nft '{CLOSED}' && echo closed", check=False)
            time.sleep(OUTAGE_S)
            site.stack.on(POSTGRES, "nft delete table inet fault", check=False)
            break
    rest, _ = running.communicate(timeout=600)
    assert closed == "closed"
    assert running.returncode == 0, said + rest
    # Or replay was over before the way was closed, and this proves nothing.
    assert "WAL cannot be fetched from Barman" in rest
    site.until_protected()
    row.protected_after_s = time.monotonic() - began
    row.seen = "PostgreSQL waits instead of promoting, and goes on"
    nothing_lost(site, ledger, row, report)
    site.stack.until_content()


def test_old_and_new_server_alive_together(site: Site, report: Report) -> None:
    """The directory that a recovery set aside is started by hand, beside the recovered server."""
    row = Row("old and new server alive together after a restore", FALLBACK)
    site.stack.new_backup()
    with site.writing() as ledger:
        ledger.wait_for_more(50)
    site.recover()
    (old,) = site.stack.on(POSTGRES, "ls -d /data/postgresql/17/main.before-*Z | tail -1").split()
    binary, config = "/usr/lib/postgresql/17/bin", "/etc/postgresql/17/main"
    options = (
        f"-c config_file={config}/postgresql.conf -c data_directory={old} -c port=5433 "
        "-c external_pid_file= -c unix_socket_directories=/tmp"
    )
    with site.writing() as more:
        site.stack.on(
            POSTGRES,
            f"cd /; runuser -u postgres -- {binary}/pg_ctl -D {old} -w -t 60 "
            f"-l /tmp/old.log -o '{options}' start >/dev/null",
        )
        try:
            asked = "timeout 8 runuser -u postgres -- psql -h /tmp -p 5433 -d app -XAtqc"
            alive = site.stack.on(POSTGRES, f"cd /; {asked} 'SELECT pg_is_in_recovery()'")
            assert alive == "f"
            # Nobody confirms its commits, so it acknowledges none: no client can be fooled.
            write = "INSERT INTO ledger VALUES (-1)"
            site.stack.on(POSTGRES, f"cd /; {asked} '{write}' && touch /tmp/acknowledged; true")
            acknowledged = site.stack.on(POSTGRES, "ls /tmp/acknowledged", check=False)
            more.wait_for_more(100)
            assert json.loads(site.stack.ops("status", "--json").stdout)["verdict"] == "protected"
        finally:
            site.stack.on(
                POSTGRES,
                f"cd /; runuser -u postgres -- {binary}/pg_ctl -D {old} -m immediate stop; "
                "rm -f /tmp/acknowledged /tmp/old.log",
            )
    assert acknowledged == ""
    assert site.stack.on(POSTGRES, f"systemctl is-active {site.stack.unit}") == "active"
    row.acknowledged = len(ledger.commits)
    row.seen = "the old one acknowledges no commit, Barman follows the new one only"
    assert site.lost(ledger) == set()
    nothing_lost_nor_failed(site, more, row, report)
    site.stack.until_content()


def test_the_data_directory_lost_with_a_tablespace_in_use(site: Site, report: Report) -> None:
    """What it leaves at the tablespace's place must not be in the way of what is brought back."""
    row = Row("data directory lost, a tablespace in use: its files stay behind", FALLBACK)
    site.sql('ALTER TABLE ledger SET TABLESPACE "fast disk"')
    with site.writing() as ledger:
        ledger.wait_for_more(200)
        site.destroy_database()
    began = time.monotonic()
    site.recover()
    site.until_protected()
    row.protected_after_s = time.monotonic() - began
    row.seen = "recovered into the same place; the old files are kept for undo"
    assert site.sql("SELECT tablespace FROM pg_tables WHERE tablename = 'ledger'") == "fast disk"
    nothing_lost(site, ledger, row, report)
    site.stack.until_content()


@pytest.mark.parametrize("kind", ["resumed", "aborted"])
def test_a_power_cut_within_the_swap(site: Site, report: Report, kind: str) -> None:
    row = Row(f"database machine loses its power while a recovery swaps, then {kind}", FALLBACK)
    with site.writing() as ledger:
        ledger.wait_for_more(100)
    running = site.stack.start_ops("recover", "--yes")
    wait_for(running, SWAP)
    site.cut_power(POSTGRES)
    site.power_on(POSTGRES)
    running.communicate(timeout=600)
    began = time.monotonic()
    if running.returncode:
        site.finish("--resume" if kind == "resumed" else "--abort")
    site.until_protected()
    row.protected_after_s = time.monotonic() - began
    row.seen = "every file is of one server or the other, tablespaces too"
    nothing_lost(site, ledger, row, report)
    site.stack.until_content()
