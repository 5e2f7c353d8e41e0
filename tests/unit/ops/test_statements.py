"""`ops top` on screen, and what it says of a server that does not count."""

from typing import cast

import pytest
from rich.console import Console

from ops.errors import OperatorError
from ops.reach import postgres
from ops.reach.ssh import CommandFailed, Result, Site
from ops.watch import statements
from tests.unit.ops.report_states import AT


def shown(found: statements.Statements) -> str:
    console = Console(width=80, record=True)
    statements.show(found, console)
    return " ".join(console.export_text().split())


def statement(query: str) -> statements.Statement:
    return statements.Statement(
        query=query,
        database="app",
        role="app",
        calls=12345,
        rows=7,
        total_s=90.0,
        mean_ms=7.29,
        share=0.42,
        read_bytes=2**30,
        temporary_bytes=0,
        wal_bytes=0,
    )


def test_the_dearest_is_shown_with_what_it_costs() -> None:
    text = shown(statements.Statements(since=AT, statements=[statement("SELECT [red]x[/]")]))
    for words in ("42 %", "12,345 calls of 7.3 ms", "1.0 GiB read", "app, app: SELECT [red]x[/]"):
        assert words in text


def test_nothing_counted_is_said() -> None:
    assert "No statement" in shown(statements.Statements(since=AT, statements=[]))


def test_a_server_that_does_not_count_says_what_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise CommandFailed("postgres-lab", Result("psql", 1, "", "relation does not exist"))

    monkeypatch.setattr(postgres, "query", refuse)

    class Reached:
        postgres = None

    with pytest.raises(OperatorError) as refused:
        statements.read(cast(Site, Reached()))
    assert "relation does not exist" in str(refused.value)
    assert "python -m ops apply" in str(refused.value)
