"""`ops rotate --json`: standard output is the document's alone, whatever else there is to say."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import MagicMock

import pytest
from typer.testing import CliRunner, Result

from ops.__main__ import command_line
from ops.cli import rotate as rotate_command
from ops.errors import OperatorError
from ops.model import Status, Verdict
from ops.reach.outputs import StackOutputs
from ops.rotate.plan import CHANGES, Kind
from tests.unit.ops import report_states
from tests.unit.ops.test_outputs import stack

PROOF = "PostgreSQL's certificate is valid until 2027-12-26 12:00:00 UTC"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> MagicMock:
    """Pulumi and both machines, which do as they are asked."""

    @contextmanager
    def site_of(_: str | None) -> Iterator[MagicMock]:
        yield MagicMock()

    made = MagicMock()
    made.return_value.configured.return_value = {}
    monkeypatch.setattr(rotate_command, "Engine", made)
    monkeypatch.setattr(rotate_command, "site_of", site_of)
    monkeypatch.setattr(rotate_command, "runs", MagicMock())
    monkeypatch.setattr(
        rotate_command.outputs, "read", lambda _: StackOutputs.model_validate(stack())
    )
    monkeypatch.setattr(rotate_command.proof, "prove", lambda *_: [PROOF])
    end_with(monkeypatch, report_states.healthy().status)
    return made.return_value


def end_with(monkeypatch: pytest.MonkeyPatch, status: Status) -> None:
    monkeypatch.setattr(rotate_command.proof, "protected", lambda _: status)


def rotate(*words: str) -> Result:
    return CliRunner().invoke(command_line(["rotate"]), ["rotate", "tls", "--json", *words])


def test_a_dry_run_says_what_would_change(engine: MagicMock) -> None:
    done = rotate("--dry-run")
    said = json.loads(done.stdout)
    assert (said["kind"], said["done"], said["verdict"]) == ("tls", False, None)
    assert said["changes"] == list(CHANGES[Kind.TLS])
    assert "Planned" in done.stderr
    engine.update.assert_not_called()


def test_a_rotation_says_what_was_tried_afterwards_and_the_pairs_state(engine: MagicMock) -> None:
    done = rotate("--yes")
    said = json.loads(done.stdout)
    assert (said["done"], said["proofs"], said["verdict"]) == (True, [PROOF], "protected")
    assert "Commit the stack's settings file" in done.stderr
    engine.update.assert_called_once()


def test_a_pair_that_is_unprotected_afterwards_is_in_the_document_and_is_an_error(
    engine: MagicMock, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = report_states.healthy().status
    end_with(monkeypatch, status.model_copy(update={"verdict": Verdict.UNPROTECTED}))
    done = rotate("--yes")
    assert json.loads(done.stdout)["verdict"] == "unprotected"
    assert isinstance(done.exception, OperatorError)
    engine.update.assert_called_once()
