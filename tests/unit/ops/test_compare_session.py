"""psql as a connection that stays open: answers, refusals, and its loss."""

import getpass
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.onmachine.compare.session import Both, Pair, Place, Refused

# As far as it matters here: \echo and its variables; a statement is one JSON value or a refusal.
PSQL = """#!/usr/bin/env python3
import sys
failed, said = "false", ""
for line in sys.stdin:
    if line.startswith("\\\\echo"):
        line = line[6:].replace(":ERROR", failed).replace(":LAST_ERROR_MESSAGE", said).strip()
        print(line.replace(":SQLSTATE", "00000"), flush=True)
    elif "refuse" in line:
        failed, said = "true", "permission denied\\nfor table t"
    elif "die" in line:
        sys.exit("server closed the connection")
    else:
        failed, said = "false", ""
        if "SELECT 1" in line:
            print("[1]")
"""


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    program = tmp_path / "psql"
    program.write_text(PSQL)
    program.chmod(stat.S_IRWXU)
    place = Place("host=old", str(tmp_path), getpass.getuser())
    made = Pair(Both(place, place), "shop")
    yield made
    made.close()


def test_both_sides_answer(pair: Pair) -> None:
    assert pair.ask("SELECT 1") == ([[1]], [[1]])
    assert pair.ask("SELECT 2") == ([], [])


def test_a_refusal_says_where_and_why_and_does_not_end_the_session(pair: Pair) -> None:
    with pytest.raises(Refused) as refused:
        pair.ask("refuse")
    assert str(refused.value) == (
        "at the source: permission denied\nfor table t; here: permission denied\nfor table t"
    )
    assert pair.ask("SELECT 1").here == [[1]]


def test_a_lost_connection_is_no_answer(pair: Pair) -> None:
    for _ in range(2):
        with pytest.raises(Refused, match="server closed the connection"):
            pair.ask("die")


def test_a_database_may_be_called_anything() -> None:
    place = Place("host=old", "/usr/bin", "postgres")
    assert place.database("it's a=b").endswith("dbname='it\\'s a=b'")


def test_what_a_program_prints_is_taken_as_it_is(tmp_path: Path) -> None:
    """A function's body may have the line ends of another system."""
    program = tmp_path / "pg_restore"
    program.write_text("#!/bin/sh\nprintf 'a\\r\\nb\\n'\n")
    program.chmod(stat.S_IRWXU)
    assert Place("", str(tmp_path), getpass.getuser()).run("pg_restore") == "a\r\nb\n"
