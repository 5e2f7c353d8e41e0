"""What a move does at its source: who is kept out and let in again, which tables are followed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ops.errors import OperatorError
from ops.migrate import left_out, moving, service
from ops.migrate.service import Service
from ops.onmachine.migration import closing, followed
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.rows import Table
from ops.onmachine.migration.sessions import Failed, Server
from tests.unit.ops.migrate_facts import facts, server

OPEN = {"me": "mover", "owner": "mover", "set": [], "connect": [None, "app"]}
CLOSED = {
    "me": "mover",
    "owner": "mover",
    "set": ["default_transaction_read_only=on"],
    "connect": ["mover"],
}


class Door(Server):
    """A source that is as it is told, and keeps what it was asked."""

    def __new__(cls, *_: Any) -> "Door":
        return object.__new__(cls)

    def __init__(self, found: dict[str, Any]) -> None:
        object.__setattr__(self, "found", found)
        object.__setattr__(self, "asked", [])

    def value(self, sql: str) -> Any:
        return self.__dict__["found"]

    def ask(self, sql: str) -> str:
        self.__dict__["asked"].append(sql)
        return "0"


def asked(door: Door) -> str:
    return "\n".join(door.__dict__["asked"])


def test_a_database_is_opened_to_those_who_were_let_in(tmp_path: Path) -> None:
    kept = tmp_path / "open"
    closing.close(Door(OPEN), "shop", kept)
    assert json.loads(kept.read_text()) == OPEN
    door = Door(CLOSED)
    closing.reopen(door, "shop", kept)
    assert "GRANT CONNECT ON DATABASE" in asked(door) and "TO PUBLIC" in asked(door)
    assert not kept.exists()


def test_one_that_was_never_closed_is_left_alone(tmp_path: Path) -> None:
    door = Door(OPEN)
    closing.reopen(door, "shop", tmp_path / "open")
    assert asked(door) == ""


def test_a_closed_one_of_which_nobody_knows_how_it_was_is_said(tmp_path: Path) -> None:
    for act in (closing.close, closing.reopen):
        door = Door(CLOSED)
        with pytest.raises(Failed, match="RESET default_transaction_read_only"):
            act(door, "shop", tmp_path / "open")
        assert asked(door) == "" and not (tmp_path / "open").exists()


def test_sessions_whose_kind_is_hidden_are_ended_too(tmp_path: Path) -> None:
    door = Door(OPEN)
    closing.close(door, "shop", tmp_path / "open")
    (ending,) = (sql for sql in door.__dict__["asked"] if "pg_terminate_backend" in sql)
    assert "backend_type IS NULL AND usesysid IS NOT NULL" in ending


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.setattr(Job, "folder", property(lambda _: tmp_path))
    return Job("shop", "", "", 150000, "", (), (), 2, "", "", 0, publish=("public.a",))


def table(name: str) -> Table:
    return Table(1, name, name, ("id",), 0, 0)


def test_a_table_that_is_neither_followed_nor_copied_later_is_known(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert followed.publish(job) == ["public.a"]
    found = {"publish": ["public.a"], "later": ["public.log"]}
    monkeypatch.setattr(Server, "value", lambda *_: found)
    followed.decide(replace(job, publish=()))
    assert followed.later(job) == ["public.log"]
    tables = [table("public.a"), table("public.log"), table("public.new")]
    assert followed.unknown(job, tables) == ["public.new"]


def test_the_slot_of_another_move_is_left_to_it() -> None:
    others = [{"name": "debezium"}, {"name": "ops_migrate_16384"}]
    with pytest.raises(OperatorError, match="slot of another move, ops_migrate_16384"):
        moving._refuse_another_move(facts(server=server(slots=others)))
    moving._refuse_another_move(facts(server=server(slots=others[:1])))


def test_names_that_only_look_like_the_services_are_the_teams() -> None:
    for kind, own, teams in (
        (Service.AZURE, "azure_pg_admin", "azure_functions"),
        (Service.RDS, "rds_superuser", "rds_reports"),
        (Service.OTHER, "pg_monitor", "azure_pg_admin"),
    ):
        assert service.owns_role(kind, own) and not service.owns_role(kind, teams)
    assert left_out.schemas(["google_x$", "azure"]) == r"^azure$|^google_x\$$|^ops_migrate$"
    assert left_out.schemas([]) == "^ops_migrate$"
