"""PgBouncer, switched on in a stack that is up and off again: who is let in, how many, and that
its clients wait for whatever is done to PostgreSQL meanwhile."""

import json
import shlex
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
import pytest

from tests.support.application import Application
from tests.support.ledger import Ledger
from tests.support.running import kill_at
from tests.support.site import Site
from tests.support.stack import BARMAN, POSTGRES, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.network, pytest.mark.deep]

CONSOLE = "cd /; runuser -u pgbouncer -- psql -X -A -t -h /run/pgbouncer -p 6432 pgbouncer -c"
CLIENTS = 500
LEFT = (
    "ls -d /etc/pooler /etc/systemd/system/pgbouncer.service /etc/sysusers.d/pgbouncer.conf "
    "/etc/systemd/system/prometheus-pgbouncer-exporter.service.d/monitoring.conf 2>/dev/null; "
    "dpkg-query -W -f '${db:Status-Abbrev} ${Package}\\n' pgbouncer prometheus-pgbouncer-exporter "
    "2>/dev/null | grep '^ii'; ss -Htln 'sport = :6432 or sport = :9127'; true"
)


@pytest.fixture(scope="module", autouse=True)
def pooler(stack: Stack) -> Iterator[None]:
    """A stack that has been without one gets it, and loses it again with all that came with it."""
    started = stack.sql("SELECT pg_postmaster_start_time()")
    stack.set("pooler", "true")
    stack.up()
    stack.read_outputs_again()
    assert stack.sql("SELECT pg_postmaster_start_time()") == started
    yield
    stack.set("pooler", "false")
    stack.up()
    stack.read_outputs_again()
    assert "pooler" not in stack.outputs
    assert stack.on(POSTGRES, LEFT) == ""
    assert stack.sql("SELECT rolcanlogin FROM pg_roles WHERE rolname = 'pgbouncer'") == "f"
    assert stack.sql("SELECT to_regnamespace('pooler') IS NULL") == "t"
    stack.until_content()


@pytest.fixture
def pooled(application: Application, stack: Stack) -> Application:
    """A client inside clientCidrs that connects through the pooler."""
    return Application(application.client, stack.outputs["databases"]["app"]["poolerUri"])


def with_login(application: Application, role: str, password: str) -> Application:
    where = application.uri.partition("@")[2]
    return Application(application.client, f"postgresql://{role}:{password}@{where}")


def say(stack: Stack, command: str) -> str:
    """What the pooler's console says."""
    return stack.on(POSTGRES, f"{CONSOLE} {shlex.quote(command)}")


def pool_size(stack: Stack) -> int:
    """How many of the server's connections it has for the database."""
    (line,) = [line for line in say(stack, "SHOW DATABASES").splitlines() if line[:4] == "app|"]
    return int(line.split("|")[5])


def is_paused(stack: Stack) -> bool:
    return "paused|yes" in say(stack, "SHOW STATE")


@contextmanager
def writing(site: Site) -> Iterator[Ledger]:
    """Clients of the pooler that commit all the time, and may only wait: none of them fails, all
    that they were acknowledged is there, and they go on at the end."""
    site.new_ledger()
    uri = site.stack.outputs["databases"]["app"]["poolerUri"]
    with Ledger(site.client, uri, 8) as ledger:
        yield ledger
        ledger.wait_for_more(50)
        ledger.stop()
    assert ledger.failures == []
    assert site.lost(ledger) == set()
    print(f"longest wait of a client: {ledger.longest_commit():.1f} s")


def test_a_role_is_let_in_by_its_password_alone(stack: Stack, pooled: Application) -> None:
    assert "sslmode=verify-full" in pooled.uri
    with pooled.connect() as connection:
        row = connection.execute("SELECT current_user, inet_server_port()").fetchone()
        # To PostgreSQL it comes by the socket.
        assert row == ("app", None)
    with pytest.raises(psycopg.OperationalError, match="SASL authentication failed"):
        with_login(pooled, "app", "wrong").connect()
    plain = pooled.uri.partition("?")[0] + "?sslmode=disable"
    with pytest.raises(psycopg.OperationalError, match="SSL required"):
        Application(pooled.client, plain).connect()
    console = pooled.uri.replace("/app?", "/pgbouncer?")
    with pytest.raises(psycopg.OperationalError, match="not allowed"):
        Application(pooled.client, console).connect()
    stack.sql("CREATE ROLE mighty LOGIN SUPERUSER PASSWORD 'known'")
    stack.sql("CREATE ROLE late LOGIN PASSWORD 'known' VALID UNTIL 'yesterday'")
    try:
        for role in ("mighty", "late"):
            with pytest.raises(psycopg.OperationalError, match="no such user"):
                with_login(pooled, role, "known").connect()
    finally:
        stack.sql("DROP ROLE mighty, late")
    for role in ("postgres", "barman", "streaming_barman", "prometheus", "pgbouncer"):
        with pytest.raises(psycopg.OperationalError, match=r"login rejected|no such user"):
            with_login(pooled, role, "any").connect()


def test_nobody_but_the_pooler_reads_verifiers(stack: Stack, application: Application) -> None:
    uri = application.uri.replace("/app?", "/postgres?")
    with (
        Application(application.client, uri).connect() as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("SELECT pooler.credentials('app')")
    asked = "cd /; runuser -u pgbouncer -- psql -X -A -t -d postgres -c"
    function = shlex.quote("SELECT usename FROM pooler.credentials('app')")
    assert stack.on(POSTGRES, f"{asked} {function}") == "app"
    table = "'TABLE pg_authid' 2>&1"
    assert "permission denied" in stack.on(POSTGRES, f"{asked} {table}", check=False)
    assert stack.on(POSTGRES, "stat -c '%a %U' /etc/pooler/server.pem") == "600 pgbouncer"


def test_prepared_statements_follow_their_client_from_connection_to_connection(
    pooled: Application,
) -> None:
    with pooled.connect() as one, pooled.connect() as other:
        for number in range(20):
            for connection in (one, other):
                row = connection.execute("SELECT %s + 1", (number,), prepare=True).fetchone()
                assert row == (number + 1,)
            # While one holds a server's connection, the other's statement is on another one.
            if number % 5 == 0:
                one.execute("BEGIN")
                row = other.execute("SELECT %s + 1", (number,), prepare=True).fetchone()
                assert row == (number + 1,)
                one.execute("COMMIT")


def test_500_clients_at_once_share_what_the_server_has(
    stack: Stack, pooled: Application, application: Application
) -> None:
    version = stack.cluster.split("/")[0]
    password = pooled.uri.partition("@")[0].rpartition(":")[2]
    bench = f"/usr/lib/postgresql/{version}/bin/pgbench"
    stack.on(POSTGRES, "echo 'SELECT pg_sleep(0.01)' >/tmp/load.sql")
    stack.on(
        POSTGRES,
        "cd /; systemd-run --quiet --collect --unit=load --property=LimitNOFILE=4096 "
        f"--setenv=PGPASSWORD={password} --setenv=PGSSLMODE=require --uid=postgres "
        f"--property=StandardOutput=file:/tmp/load.log --property=StandardError=file:/tmp/load.log "
        f"{bench} -n -h 10.20.0.4 -p 6432 -U app -c {CLIENTS} -j 4 -t 40 -f /tmp/load.sql app",
    )
    pool = pool_size(stack)
    most = clients = 0
    count = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app' AND client_addr IS NULL"
    while stack.on(POSTGRES, "systemctl is-active load", check=False) == "active":
        most = max(most, int(stack.sql(count)))
        rows = [line for line in say(stack, "SHOW CLIENTS").splitlines() if "|app|app|" in line]
        clients = max(clients, len(rows))
        # Whoever comes without it finds a connection.
        application.connect().close()
    said = stack.on(POSTGRES, "cat /tmp/load.log; rm /tmp/load.log /tmp/load.sql")
    assert f"number of transactions actually processed: {CLIENTS * 40}/{CLIENTS * 40}" in said, said
    assert clients >= CLIENTS
    assert 0 < most <= pool < int(stack.sql("SHOW max_connections")) / 2


def test_clients_wait_for_a_restart_that_a_setting_needs(site: Site) -> None:
    stack = site.stack
    started = stack.sql("SELECT pg_postmaster_start_time()")
    key = "postgres-barman:postgresParameters.max_locks_per_transaction"
    stack.pulumi("config", "set", "--plaintext", "--path", key, "80")
    try:
        with writing(site):
            stack.up()
        assert stack.sql("SHOW max_locks_per_transaction") == "80"
        assert stack.sql("SELECT pg_postmaster_start_time()") != started
    finally:
        stack.pulumi("config", "rm", "--path", key)
    with writing(site):
        stack.up()
    assert not is_paused(stack)


def test_a_rotated_password_is_known_at_once_and_sessions_go_on(
    site: Site, pooled: Application
) -> None:
    with writing(site):
        said = " ".join(site.stack.ops("rotate", "password", "--yes").stdout.split())
    site.stack.read_outputs_again()
    through = "app through the pooler: the new password works, the old one is refused"
    assert through in said
    with pytest.raises(psycopg.OperationalError, match="SASL authentication failed"):
        pooled.connect()
    new = site.stack.outputs["databases"]["app"]["poolerUri"]
    Application(pooled.client, new).connect().close()


def test_a_rotated_certificate_is_shown_without_a_restart(site: Site, pooled: Application) -> None:
    shown = (
        "openssl s_client -starttls postgres -connect 10.20.0.4:{} </dev/null 2>/dev/null "
        "| openssl x509 -noout -fingerprint"
    )
    pid = "systemctl show --value --property=MainPID pgbouncer"
    before, process = site.on_postgres(shown.format(6432)), site.on_postgres(pid)
    with writing(site):
        site.stack.ops("rotate", "tls", "--yes")
    after = site.on_postgres(shown.format(6432))
    assert after != before
    assert after == site.on_postgres(shown.format(5432))
    assert site.on_postgres(pid) == process
    pooled.connect().close()


def test_clients_wait_for_a_recovery(site: Site) -> None:
    with writing(site):
        said = site.recover()
    assert "clients of the pooler wait" in " ".join(said.split())
    site.stack.assert_protected()


def test_data_from_before_the_pooler_gets_its_login(stack: Stack, pooled: Application) -> None:
    login = "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'pgbouncer'"
    stack.sql("DROP SCHEMA pooler CASCADE")
    stack.sql("ALTER ROLE pgbouncer RENAME TO former")
    stack.ops("restore-point", "without_pooler")
    stack.ops("apply")
    stack.ops("recover", "--target-name", "without_pooler", "--yes")
    try:
        assert stack.sql(login) == "t"
        pooled.connect().close()
        stack.assert_protected()
    finally:
        stack.sql("DROP ROLE former")


def test_a_recovery_that_is_killed_leaves_nobody_waiting_once_it_is_aborted(site: Site) -> None:
    with writing(site):
        running = site.stack.start_ops("recover", "--yes")
        kill_at(running, 4)
        assert is_paused(site.stack)
        # The lock expires a minute after its holder.
        eventually(
            "the run to be aborted",
            lambda: site.stack.ops("recover", "--abort", check=False).returncode == 0,
            200,
        )
        assert not is_paused(site.stack)
    site.stack.until_content()


def test_status_says_that_it_is_paused_and_the_next_command_resumes_it(stack: Stack) -> None:
    stack.assert_protected()
    assert stack.status()["pooler"]["answers"] is True
    assert say(stack, "PAUSE") == "PAUSE"
    assert "the pooler is paused: its clients wait → python -m ops apply" in stack.reasons()
    stack.ops("apply")
    assert not is_paused(stack)
    stack.assert_protected()


def test_a_pooler_that_lets_nobody_in_is_not_protected(stack: Stack) -> None:
    stack.sql("REVOKE EXECUTE ON FUNCTION pooler.credentials(text) FROM pgbouncer")
    assert "cannot log in through the pooler" in stack.reasons()
    stack.ops("apply")
    stack.assert_protected()


def firing(stack: Stack) -> set[str]:
    """What is to be heard now."""
    said = json.loads(stack.ops("alerts", "--json", check=False).stdout)
    return {alert["name"] for alert in said["alerts"] if not alert["silenced"]}


def test_a_pooler_that_is_down_is_an_alert(stack: Stack) -> None:
    eventually("nothing to fire", lambda: firing(stack) == set(), 180)
    stack.on(POSTGRES, "systemctl stop pgbouncer")
    try:
        assert "the pooler does not answer" in stack.reasons()
        eventually("the alert", lambda: "PoolerDown" in firing(stack), 180)
        # That of its exporter says the same.
        time.sleep(20)
        assert firing(stack) == {"PoolerDown"}
    finally:
        stack.on(POSTGRES, "systemctl start pgbouncer")
    stack.follow("clients-wait")
    eventually("the alert to end", lambda: firing(stack) == set(), 180)
    stack.until_content()


def test_clients_that_wait_for_a_connection_are_named(stack: Stack, pooled: Application) -> None:
    """Every connection that the pool has is held by a transaction that does nothing."""
    held = [pooled.connect() for _ in range(pool_size(stack))]
    waiter = pooled.connect()

    def wait() -> None:
        with suppress(psycopg.Error):
            waiter.execute("SELECT 1")

    try:
        for connection in held:
            connection.execute("BEGIN")
        threading.Thread(target=wait, daemon=True).start()
        eventually("status to say so", lambda: "wait for a connection" in stack.reasons(), 60)
        eventually("the alert", lambda: "PoolerClientsWait" in firing(stack), 110)
    finally:
        for connection in held:
            connection.close()
    stack.until_content()


def test_it_runs_in_a_sandbox(stack: Stack) -> None:
    said = stack.on(POSTGRES, "systemd-analyze security --no-pager pgbouncer 2>&1 | tail -1")
    assert float(said.split(":")[1].split()[0]) <= 2.0, said
    main = "systemctl show --value --property=MainPID pgbouncer"
    user = stack.on(POSTGRES, f"ps -o user= -p $({main})")
    assert user == "pgbouncer"
    limits = stack.on(POSTGRES, f"grep 'open files' /proc/$({main})/limits")
    assert limits.split()[3] == "4000"
    assert stack.on(BARMAN, "command -v pgbouncer", check=False) == ""
