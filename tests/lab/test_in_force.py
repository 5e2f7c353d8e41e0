"""What is written is in force, or said: updates that broke off, and settings that cannot work.

(Every program, killed after each of its side effects: tests/unit/test_in_force.py.)
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.stack import BARMAN, POSTGRES, Stack

pytestmark = pytest.mark.provider

STARTED = "SELECT pg_postmaster_start_time()"
GUARD = "/etc/durability-guard.json"
ALERTMANAGER = "/etc/monitoring/alertmanager.yml"
CRON = "/etc/cron.d/barman"
SSHD = "/etc/ssh/sshd_config.d/10-hardening.conf"


@contextmanager
def setting(stack: Stack, name: str, value: str) -> Iterator[None]:
    """One of PostgreSQL's parameters in the stack's settings."""
    key = f"postgres-barman:postgresParameters.{name}"
    stack.pulumi("config", "set", "--plaintext", "--path", key, value)
    try:
        yield
    finally:
        stack.pulumi("config", "rm", "--path", key)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("shared_preload_libraries", "pg_cron", 'could not access file "pg_cron"'),
        ("shared_buffers", "512GB", "Cannot allocate memory"),
    ],
)
def test_a_setting_that_cannot_work_leaves_the_server_as_it_was(
    stack: Stack, name: str, value: str, said: str
) -> None:
    started, before = stack.sql(STARTED), stack.sql(f"SHOW {name}")
    with setting(stack, name, value):
        failed = stack.up(check=False)
        assert failed.returncode != 0
        words = " ".join((failed.stdout + failed.stderr).split())
        assert said in words
        assert "The files from before are back, and in force" in words
    assert stack.sql(STARTED) == started
    assert stack.sql(f"SHOW {name}") == before
    assert stack.sql("SELECT count(*) FROM pg_file_settings WHERE error IS NOT NULL") == "0"
    assert "an update of postgres-lab (postgres) ended with: PostgreSQL was not" in stack.reasons()
    stack.up()
    stack.ops("apply")
    assert stack.sql(STARTED) == started
    stack.assert_protected()


def test_what_another_hand_has_written_is_said_and_applied(stack: Stack) -> None:
    """As an update leaves it whose connection breaks between the write and the restart: the
    guard's level, Alertmanager's receivers, sshd's and PostgreSQL's settings."""
    configuration = json.loads(stack.on(POSTGRES, f"cat {GUARD}"))
    level = configuration["level"]
    other = "sync" if level != "sync" else "async"
    stack.on(POSTGRES, f"sed -i 's/{level}/{other}/' {GUARD} && systemctl restart durability-guard")
    stack.on(POSTGRES, f"sed -i 's/{other}/{level}/' {GUARD}")
    assert f"the durability guard runs {other}, the stack asks for {level}" in stack.reasons()
    assert f"durability {other}, not {level}" in stack.ops("durability").stdout
    for machine, file in ((BARMAN, ALERTMANAGER), (BARMAN, SSHD), (POSTGRES, SSHD)):
        stack.on(machine, f"echo '# by hand' >>{file}")
    conf = f"{stack.configuration}/conf.d/pulumi.conf"
    stack.on(POSTGRES, f"echo \"work_mem = '77MB'\" >>{conf} && systemctl reload {stack.unit}")
    stack.on(BARMAN, "ln -sfn /usr/share/zoneinfo/Europe/Vienna /etc/localtime")
    stack.on(BARMAN, f"systemctl disable --now cron && sed -i 's/^17 /L /' {CRON}")
    stack.ops("apply")
    assert stack.on(BARMAN, "systemctl is-active cron") == "active"
    assert "\nL " not in stack.on(BARMAN, f"cat {CRON}")
    assert stack.on(BARMAN, "date +%Z") == "UTC"
    assert stack.status()["guard_level"] == level
    assert stack.sql("SHOW work_mem") != "77MB"
    for machine, file in ((BARMAN, ALERTMANAGER), (BARMAN, SSHD), (POSTGRES, SSHD)):
        assert "by hand" not in stack.on(machine, f"cat {file}")
    stack.assert_protected()


def test_applying_what_is_there_restarts_nothing(stack: Stack) -> None:
    units = "prometheus prometheus-alertmanager prometheus-node-exporter barman-exporter ssh"
    show = f"systemctl show --value --property=MainPID,ExecMainStartTimestampMonotonic {units}"
    guard = f"systemctl show --value --property=MainPID durability-guard heartbeat {stack.unit}"
    before = stack.on(BARMAN, show), stack.on(POSTGRES, guard)
    stack.ops("apply")
    assert (stack.on(BARMAN, show), stack.on(POSTGRES, guard)) == before


def test_what_alter_system_overrules_is_said(stack: Stack) -> None:
    stack.sql("ALTER SYSTEM SET max_wal_size = '3GB'")
    stack.sql("SELECT pg_reload_conf()")
    try:
        assert "max_wal_size" in stack.status()["hazards"]["overruled"]
        assert "max_wal_size" in stack.ops("status").stdout
    finally:
        stack.sql("ALTER SYSTEM RESET max_wal_size")
        stack.sql("SELECT pg_reload_conf()")
    stack.sql("ALTER SYSTEM SET shared_preload_libraries = 'nosuch'")
    try:
        assert 'could not access file "nosuch"' in stack.reasons()
    finally:
        stack.sql("ALTER SYSTEM RESET shared_preload_libraries")
    stack.assert_protected()


def test_time_outs_for_idle_sessions_do_not_reach_ours(stack: Stack) -> None:
    """The guard looks once a second, the exporters every some seconds."""
    session = (
        "SELECT string_agg(pid::text, ' ' ORDER BY pid) FROM pg_stat_activity WHERE "
        "application_name IN ('durability-guard', 'heartbeat', 'barman_exporter')"
    )
    stack.sql("ALTER SYSTEM SET idle_session_timeout = '300ms'")
    stack.sql("ALTER SYSTEM SET statement_timeout = '2s'")
    stack.sql("SELECT pg_reload_conf()")
    try:
        before = stack.sql(session)
        assert before
        stack.new_backup()
        assert stack.sql(session) == before
        stack.assert_protected()
    finally:
        stack.sql("ALTER SYSTEM RESET idle_session_timeout")
        stack.sql("ALTER SYSTEM RESET statement_timeout")
        stack.sql("SELECT pg_reload_conf()")
