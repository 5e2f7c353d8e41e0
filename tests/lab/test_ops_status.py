"""`ops status` on a real stack: what it says, and its exit codes."""

import json
import time

import psycopg
import pytest

from tests.support.application import Application
from tests.support.stack import Stack

pytestmark = pytest.mark.monitoring


def test_a_new_stack_is_protected(stack: Stack) -> None:
    answer = json.loads(stack.ops("status", "--json").stdout)
    stack.follow("is-it-safe")
    assert (answer["verdict"], answer["reasons"]) == ("protected", [])
    assert answer["postgres"]["accepting"]
    assert answer["receiver"]["state"] == "streaming"
    assert answer["last_done_backup"]["status"] == "DONE"
    assert all(check["ok"] for check in answer["checks"])
    for machine in ("postgres_machine", "barman_machine"):
        assert answer[machine]["disk"]["mounted"]


def test_a_stopped_receiver_is_unprotected_until_it_is_back(stack: Stack) -> None:
    stack.on("barman-lab", "mv /etc/cron.d/barman /root/ && pkill -u barman -x pg_receivewal")
    time.sleep(2)
    done = stack.ops("status", check=False)
    stack.on("barman-lab", "mv /root/barman /etc/cron.d/")
    assert done.returncode == 2
    assert "receiver" in done.stdout
    stack.until_content()


def test_a_machine_that_is_off_is_named(stack: Stack) -> None:
    stack.lab_command("power-off", "postgres-lab")
    (said,) = stack.follow("a-machine-does-not-answer", codes={1: 2})
    report = stack.ops("report", "--output", "gone.html", check=False)
    stack.lab_command("power-on", "postgres-lab")
    assert report.returncode == 0, report.stderr
    page = (stack.root / "gone.html").read_text()
    assert "postgres-lab cannot be reached" in page
    assert stack.outputs["postgres"]["name"] in page
    assert "postgres-lab cannot be reached" in said
    stack.until_content()


def test_capacity_is_measured_on_both_machines(stack: Stack) -> None:
    found = json.loads(stack.ops("capacity", "--json").stdout)
    for disk, name in zip(found["disks"], ("postgres-lab", "barman-lab"), strict=True):
        assert disk["machine"] == name
        total = int(stack.on(name, "df -B1 --output=size /data | tail -1"))
        assert disk["total_bytes"] == total
        # A new stack's backups are some minutes apart: no date is better than a wrong one.
        assert disk["full_at"] is None
    assert found["backups"] >= 1
    assert found["copies_kept"] == 9
    assert found["database_bytes"] > 20 * 2**20
    assert found["growth_bytes_per_day"] is None


def test_an_application_that_takes_every_connection_leaves_ours(
    stack: Stack, application: Application
) -> None:
    held = []
    try:
        with pytest.raises(psycopg.OperationalError, match="pg_use_reserved_connections"):
            while True:
                held.append(application.connect())
        assert len(held) > 50
        # What is connected may stay so for good; these begin anew.
        stack.on("postgres-lab", "systemctl restart durability-guard prometheus-postgres-exporter")
        stack.on("barman-lab", "systemctl restart barman-exporter")
        stack.assert_protected()
        assert "is DONE" in stack.ops("backup", "--wait").stdout
    finally:
        for connection in held:
            connection.close()
    stack.until_content()


def test_the_statements_that_cost_most_are_named_without_their_constants(stack: Stack) -> None:
    stack.sql("SELECT count(*), 'only said once' FROM generate_series(1, 2000000)", "app")
    stack.sql("CREATE ROLE passing PASSWORD 'kept-to-itself'; DROP ROLE passing")
    found = json.loads(stack.ops("top", "--json").stdout)
    (ours,) = [s for s in found["statements"] if "generate_series($" in s["query"]]
    assert (ours["database"], ours["role"], ours["calls"]) == ("app", "postgres", 1)
    assert "only said once" not in ours["query"]
    counted = stack.sql("SELECT string_agg(query, ' ') FROM pg_stat_statements")
    assert "kept-to-itself" not in counted
    (shown,) = stack.follow("database-is-slow")
    assert "generate_series($" in shown
