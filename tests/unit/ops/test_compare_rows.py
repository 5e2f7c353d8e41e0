"""Rows compared by the sums of their hashes, and those that differ found."""

from typing import Any

import pytest

from ops.onmachine.compare import rows
from ops.onmachine.compare.rows import Table
from ops.onmachine.compare.session import Both

KEYED = Table('ONLY "public"."t"', ('t."a"', 't."id"'), ('t."id"',), ("id",))
KEYLESS = Table('ONLY "public"."t"', ('t."a"',))


class Sides:
    """Both servers, as they answer one question after the other."""

    def __init__(self, *answers: tuple[list[Any], list[Any]]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, sql: str) -> Both[list[Any]]:
        self.asked.append(sql)
        return Both(*self.answers.pop(0))


def test_the_same_sums_are_asked_for_once() -> None:
    sides = Sides(([[2, "77"]], [[2, "77"]]))
    assert rows.compare(KEYED, sides) == {"rows": [2, 2], "equal": True, "sampled": False}


@pytest.mark.parametrize("here", [[2, "78"], [3, "77"]])
def test_rows_that_differ_are_named_by_their_key(here: list[Any]) -> None:
    sides = Sides(
        ([[2, "77"]], [here]),
        ([[0, 1, "5"], [1, 1, "6"]], [[0, 1, "5"], [1, 1, "7"]]),
        ([["k", "h", "(9)"]], [["k", "i", "(9)"]]),
    )
    found = rows.compare(KEYED, sides)
    assert not found["equal"] and found["all"]
    assert found["counts"] == {"only_source": 0, "only_here": 0, "changed": 1}
    assert found["first"]["changed"] == ["(9)"]
    # Only the bucket that differs is read.
    assert sides.asked[-1].endswith("IN (1)")


def test_more_than_can_be_fetched_is_counted_in_part() -> None:
    many = 100_000
    sides = Sides(
        ([[2 * many, "1"]], [[2 * many, "2"]]),
        ([[0, many, "5"], [1, many, "6"]], [[0, many, "7"], [1, many, "8"]]),
        ([["k", "h", "(9)"]], [["k", "i", "(9)"]]),
    )
    assert rows.compare(KEYED, sides)["all"] is False


def test_rows_that_changed_meanwhile_are_not_called_equal() -> None:
    sides = Sides(([[1, "5"]], [[1, "6"]]), ([[0, 1, "6"]], [[0, 1, "6"]]))
    found = rows.compare(KEYED, sides)
    assert not found["equal"]
    assert sum(found["counts"].values()) == 0


def test_equal_rows_of_a_table_without_a_key_are_counted() -> None:
    source = [["a", "a", "(1)"], ["a", "a", "(1)"], ["b", "b", "(2)"]]
    here = [["a", "a", "(1)"], ["c", "c", "(3)"]]
    found = rows.tell_apart(source, here)
    assert found["counts"] == {"only_source": 2, "only_here": 1, "changed": 0}
    assert found["first"]["only_source"] == ["(1)", "(2)"]
    assert found["first"]["only_here"] == ["(3)"]


def test_the_first_few_are_named() -> None:
    source = [[str(number), "h", f"({number})"] for number in range(50)]
    found = rows.tell_apart(source, [])
    assert found["counts"]["only_source"] == 50
    assert len(found["first"]["only_source"]) == 10


def test_a_sample_takes_every_key_and_a_part_of_the_rows() -> None:
    sampled = Table(KEYED.relation, KEYED.columns, KEYED.key, KEYED.names, percent=25)
    sql = rows.totals(sampled)
    assert f"< {2**20 // 4} THEN" in sql
    assert 'ELSE hashtextextended(ROW(t."id")::text' in sql
    assert sampled.sampled and "CASE" not in rows.totals(KEYED)


def test_a_table_without_a_key_is_read_whole() -> None:
    table = Table(KEYLESS.relation, KEYLESS.columns, percent=25)
    assert not table.sampled
    assert rows.totals(table) == rows.totals(KEYLESS)


def test_text_of_two_encodings_is_hashed_as_one() -> None:
    assert "convert_to(" in rows.totals(Table("t", ('t."a"',), recoded=True))
    assert "convert_to(" not in rows.totals(KEYLESS)


def test_floats_that_an_old_server_prints_inexactly_are_compared_by_their_bytes() -> None:
    assert rows.column("a", None) == 't."a"'
    assert rows.column("a", "float8send") == (
        "CASE WHEN t.\"a\" = 'NaN' THEN 'NaN' ELSE encode(float8send(t.\"a\"), 'hex') END"
    )
    assert rows.column("a", "array_send") == "encode(array_send(t.\"a\"), 'hex')"
