"""A clock that jumps by an hour, either way, on either machine, under load.

The lab's machines share this host's clock, so it is libfaketime that moves it, for everything that
reads the time of day in PostgreSQL and the guard, or in whatever Barman's cron and logins start.
Clocks that never jump are left alone, as they are on a real machine.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest

from tests.faults.expectations import nothing_lost_nor_failed
from tests.faults.report import Report
from tests.support.site import BARMAN, FALLBACK, POSTGRES, Site
from tests.support.waiting import eventually
from tools.faults_page import Row

pytestmark = [pytest.mark.durability, pytest.mark.deep]

HOUR_S = 3600
CLOCK = "/etc/clock-offset"
GUARD = "/etc/systemd/system/durability-guard.service.d"
VARIABLES = {
    "FAKETIME_TIMESTAMP_FILE": CLOCK,
    "FAKETIME_CACHE_DURATION": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    "FAKETIME_DISABLE_SHM": "1",
}


def prepare(site: Site, machine: str) -> dict[str, str]:
    """Install the library, with a clock that is right; the environment that makes it work."""
    site.stack.on(machine, f"apt-get install -qy libfaketime >/dev/null; echo +0 >{CLOCK}")
    library = site.stack.on(machine, "ls /usr/lib/*/faketime/libfaketime.so.1")
    return {"LD_PRELOAD": library, **VARIABLES}


def jump(site: Site, machine: str, seconds: int) -> None:
    site.stack.on(machine, f"echo {seconds:+d} >{CLOCK}")


@contextmanager
def clock_of_postgres(site: Site) -> Iterator[None]:
    """PostgreSQL and the guard read a clock that `jump` moves."""
    environment = "/etc/postgresql/17/main/environment"
    names = prepare(site, POSTGRES)
    for_postgres = "\n".join(f"{name} = '{value}'" for name, value in names.items())
    for_guard = "\n".join(f"Environment={name}={value}" for name, value in names.items())
    restart = f"systemctl daemon-reload; systemctl restart {site.stack.unit} durability-guard"
    site.stack.on(
        POSTGRES,
        f"cp -p {environment} /root/environment\n"
        f"cat >>{environment} <<'END'\n{for_postgres}\nEND\nmkdir -p {GUARD}\n"
        f"cat >{GUARD}/clock.conf <<'END'\n[Service]\n{for_guard}\nEND\n{restart}",
    )
    try:
        yield
    finally:
        site.stack.on(
            POSTGRES, f"mv /root/environment {environment}; rm -r {GUARD}; {restart}; rm {CLOCK}"
        )


@contextmanager
def clock_of_barman(site: Site) -> Iterator[None]:
    """What is started there reads a clock that `jump` moves; the receiver is started again."""
    names = prepare(site, BARMAN)
    text = "\n".join(f"{name}={value}" for name, value in names.items())
    # Cron's jobs and logins read the file; what a runbook leaves to systemd has them from systemd;
    # sudo lets none of them through, and its commands go by the two files that the library and its
    # loader read by themselves.
    values = " ".join(f"{name}={value}" for name, value in names.items())
    again = "systemctl restart cron; pkill -u barman -f 'pg_receivewal|barman.* receive-wal '; true"
    site.stack.on(
        BARMAN,
        f"cp -p /etc/environment /root/environment; ln -s {CLOCK} /etc/faketimerc\n"
        f"cat >>/etc/environment <<'END'\n{text}\nEND\nsystemctl set-environment {values}\n"
        f"echo {names['LD_PRELOAD']} >/etc/ld.so.preload; {again}",
    )
    try:
        yield
    finally:
        unset = f"systemctl unset-environment {' '.join(names)}"
        site.stack.on(
            BARMAN,
            f"rm /etc/ld.so.preload /etc/faketimerc; mv /root/environment /etc/environment\n"
            f"{unset}; rm {CLOCK}; {again}",
        )


def ahead(moment: datetime) -> float:
    """Seconds before this host's clock, which is right."""
    return (moment - datetime.now(UTC)).total_seconds()


@pytest.mark.parametrize("seconds", [HOUR_S, -HOUR_S])
def test_clock_of_the_database_machine(site: Site, report: Report, seconds: int) -> None:
    row = Row(f"clock of the database machine jumps {seconds // HOUR_S:+d} h, and back", FALLBACK)

    def postgres_is_off_by() -> float:
        return ahead(datetime.fromisoformat(site.stack.sql("SELECT clock_timestamp()")))

    with clock_of_postgres(site):
        site.until_protected()
        site.new_ledger()
        with site.writing() as ledger:
            for off in (seconds, 0):
                jump(site, POSTGRES, off)
                began = time.monotonic()
                eventually("it to jump", lambda off=off: abs(postgres_is_off_by() - off) < 60)
                ledger.wait_for_more(200, 60)
                site.until_protected()
                row.protected_after_s = time.monotonic() - began
                taken = site.stack.new_backup()
                assert site.stack.backups()[taken]["restorable"]
                ledger.wait_for_more(50)
    row.seen = f"longest commit {ledger.longest_commit():.1f} s; a backup in each time is good"
    nothing_lost_nor_failed(site, ledger, row, report)
    site.stack.until_content()


@pytest.mark.parametrize("seconds", [HOUR_S, -HOUR_S])
def test_clock_of_barmans_machine(site: Site, report: Report, seconds: int) -> None:
    """Barman names backups by its clock and takes the names for their order: with one that would
    not be the last it would delete other backups' WAL."""
    row = Row(f"clock of Barman's machine jumps {seconds // HOUR_S:+d} h, and back", FALLBACK)
    site.stack.new_backup()
    before = restorable(site)
    with clock_of_barman(site), site.writing() as ledger:
        for off in (seconds, 0):
            jump(site, BARMAN, off)
            site.stack.on(BARMAN, "pkill -u barman -x pg_receivewal", check=False)
            began = time.monotonic()
            site.until_protected()
            row.protected_after_s = time.monotonic() - began
            newest = next(iter(site.stack.backups()))
            if newest < f"{datetime.now(UTC) + timedelta(seconds=off):%Y%m%dT%H%M%S}":
                site.stack.new_backup()
            else:
                refused = site.stack.ops("backup", "--wait", check=False)
                assert refused.returncode == 2, refused.stdout
                values = " ".join(f"{name}={value}" for name, value in VARIABLES.items())
                nightly = f"cd /; env {values} runuser -u barman -- barman-guarded backup pg"
                site.stack.on(BARMAN, nightly, check=False)
                log = "journalctl -t barman-cron -n 5 --no-pager -o cat"
                assert "barman backup pg skipped: no backup" in site.stack.on(BARMAN, log)
                if off == 0:
                    site.stack.barman("delete", "pg", newest)
                    site.stack.new_backup()
            assert before <= restorable(site)
            ledger.wait_for_more(50)
        # The moment just past can be had, whatever the backups are called.
        site.stack.ops("restore-point", "now")
        site.stack.sql("SELECT pg_switch_wal()")
        past = datetime.now(UTC) - timedelta(seconds=5)
        site.stack.ops("recover", "--dry-run", "--target-time", past.isoformat())
    row.seen = (
        f"longest commit {ledger.longest_commit():.1f} s; no backup is taken that Barman would not "
        "take for the newest, and every older one can still be restored"
    )
    nothing_lost_nor_failed(site, ledger, row, report)
    site.stack.until_content()


def restorable(site: Site) -> set[str]:
    """The backups that there is all WAL for."""
    return {name for name, backup in site.stack.backups().items() if backup["restorable"]}
