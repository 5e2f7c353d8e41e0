"""Errors that an operator sees: each says what was changed, and one class catches them all."""

import ast
import sys
import tempfile
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from ops import __main__ as program
from ops.errors import OperatorError, OpsError
from ops.reach.ssh import CommandFailed, ConnectionLost

ROOT = Path(__file__).resolve().parents[3]


def _calls(source: str) -> list[ast.Call]:
    return [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "OperatorError"
    ]


def _state(call: ast.Call) -> ast.expr | None:
    if len(call.args) > 1:
        return call.args[1]
    return next((word.value for word in call.keywords if word.arg == "state"), None)


def test_what_was_changed_has_no_default() -> None:
    (state,) = [field for field in fields(OperatorError) if field.name == "state"]
    assert state.default is MISSING
    assert state.default_factory is MISSING


def test_whoever_raises_says_what_was_changed() -> None:
    silent = [
        f"{path.relative_to(ROOT)}:{call.lineno}"
        for folder in ("ops", "bench", "tools")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for call in _calls(path.read_text())
        if (state := _state(call)) is None
        or (isinstance(state, ast.Constant) and not str(state.value).strip())
    ]
    assert not silent


@pytest.mark.parametrize("kind", [OperatorError, CommandFailed, ConnectionLost])
def test_one_class_catches_every_error_of_a_runbook(kind: type[Exception]) -> None:
    assert issubclass(kind, OpsError)


def test_a_defect_is_no_traceback_on_the_screen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken() -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(program, "command_line", lambda _: broken)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == program.FAILED
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "ValueError: no such thing" in said
    assert "python -m ops status" in said
    (kept,) = tmp_path.iterdir()
    assert "in broken" in kept.read_text()


def test_who_interrupts_is_told_what_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted() -> None:
        sys.exit(program.INTERRUPTED)

    monkeypatch.setattr(program, "command_line", lambda _: interrupted)
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == program.INTERRUPTED
    assert "Next: python -m ops status" in capsys.readouterr().err
