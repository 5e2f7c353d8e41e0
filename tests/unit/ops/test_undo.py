"""Which recovery an undo undoes."""

from unittest.mock import MagicMock

import pytest

from ops.errors import OperatorError
from ops.recover import undo
from ops.runbook import journal


def run(name: str, *, aside: str | None, in_place: bool) -> MagicMock:
    past = MagicMock(kind="recover", id=name)
    past.id = name
    past.facts = {"aside": aside, "timeline": 2, "in_place": in_place}
    return past


def site(*there: str) -> MagicMock:
    made = MagicMock()
    made.postgres.run.side_effect = lambda argv, accept: MagicMock(
        ok=argv[-1].removesuffix("/PG_VERSION") in there
    )
    return made


def test_the_last_one_that_was_put_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    taken_back = run("C", aside="/c", in_place=False)
    last = run("B", aside="/b", in_place=True)
    monkeypatch.setattr(journal, "past", lambda _: [taken_back, last])
    assert undo.find(site("/b")) is last


def test_an_older_one_is_not_undone_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    without = run("B", aside=None, in_place=True)
    monkeypatch.setattr(journal, "past", lambda _: [without, run("A", aside="/a", in_place=True)])
    with pytest.raises(OperatorError, match="recover B, has no old data directory"):
        undo.find(site("/a"))
