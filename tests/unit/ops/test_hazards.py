"""What would stop or fill the server soon: each alone is a reason, with what to do."""

from typing import Any

import pytest

from ops.model import Hazards, Verdict
from ops.onmachine.migration.sessions import BACK
from ops.watch import in_force
from ops.watch.hazards import AGE, FORGOTTEN_S, judge


def test_nothing_is_nothing() -> None:
    assert list(judge(Hazards())) == []
    # Somebody's choice, and said (show_status).
    assert list(judge(Hazards(overruled=["timezone"]))) == []
    assert list(judge(Hazards(oldest_prepared_s=FORGOTTEN_S, xid_age=AGE))) == []


@pytest.mark.parametrize(
    ("found", "said", "next_command"),
    [
        ({"cannot_restart": 'FATAL: no "nosuch"'}, 'FATAL: no "nosuch"', "ALTER SYSTEM RESET"),
        (
            {"failing_archiver": "0000000100000000000000AA"},
            "archive_command fails",
            "RESET archive",
        ),
        ({"retaining_slots": ["debezium"]}, "debezium, which is not Barman's", "'debezium'"),
        ({"retaining_slots": [f"{BACK}_16400"]}, "way back to a source", "migrate end"),
        ({"oldest_prepared_s": FORGOTTEN_S * 2}, "open for 48 h", "pg_prepared_xacts"),
        ({"oldest_transaction_s": FORGOTTEN_S * 2}, "a transaction is open", "pg_stat_activity"),
        ({"shut_out_owners": {"app": "it is NOLOGIN"}}, "app: it is NOLOGIN", "VALID UNTIL"),
        ({"shut_out_owners": {"app": "there is no such role"}}, "no such role", "pulumi up"),
        ({"xid_age": AGE + 1}, "1,000,000,001 old", "VACUUM (FREEZE)"),
    ],
)
def test_each_alone_degrades(found: dict[str, Any], said: str, next_command: str) -> None:
    (reason,) = judge(Hazards.model_validate(found))
    assert reason.verdict is Verdict.DEGRADED
    assert said in reason.text
    assert reason.next_command
    assert next_command in reason.next_command


@pytest.mark.parametrize(
    ("there", "said"),
    [
        ({"asked": "new", "in_force": "new"}, None),
        ({"asked": "newer", "in_force": "new"}, "was begun and did not end"),
        ({"asked": "new"}, "was begun and did not end"),
        (
            {"asked": "newer", "in_force": "new", "refused": "it would not start\nmore"},
            "ended with: it would not start",
        ),
        ({"asked": "old", "in_force": "old"}, "is not as the last update that went through"),
        ({}, "is not as the last update that went through"),
    ],
)
def test_a_machine_that_is_not_where_the_stack_is(there: dict[str, str], said: str | None) -> None:
    found = list(in_force.judge("postgres-lab", {"postgres": "new"}, {"postgres": there}))
    if said is None:
        assert found == []
    else:
        (reason,) = found
        assert said in reason.text
