"""Pulumi's answers, and what the runbooks make of those that it does not give."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engine.pulumi import Pulumi
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import engine

Programs = Callable[[str], Pulumi]


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A stand-in for `pulumi`: a shell script, the only one on PATH."""

    def made(script: str) -> Pulumi:
        program = tmp_path / "pulumi"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///nowhere")
        return engine.of("x")

    return made


@pytest.mark.parametrize(
    ("stderr", "happened", "next_command"),
    [
        ("error: no stack named 'x' found", "no stack named x", "pulumi stack ls"),
        ("error: no stack selected; please use …", "No stack is selected", "stack select"),
        ("error: getting secrets manager: incorrect passphrase", "does not open", "PASSPHRASE"),
        ("error: passphrase must be set with PULUMI_…", "none was given", "PASSPHRASE"),
        ("error: PULUMI_ACCESS_TOKEN must be set for login", "not logged in", "pulumi login"),
        ("error: something else", "something else", "pulumi stack output --stack x"),
    ],
)
def test_pulumis_complaints_become_a_next_command(
    stderr: str, happened: str, next_command: str
) -> None:
    error = engine.explain(stderr, "x", NOTHING_CHANGED)
    assert happened in error.happened
    assert next_command in str(error.next_command)
    assert error.state == NOTHING_CHANGED


def test_an_answer_is_what_pulumi_prints_and_its_complaints_are_not(pulumi: Programs) -> None:
    asked = pulumi("echo answer; echo warning >&2")
    assert engine.answer(asked.outputs, "x", NOTHING_CHANGED) == "answer\n"


def test_no_answer_says_what_was_not_changed(pulumi: Programs) -> None:
    late = pulumi("exec sleep 60")
    with pytest.raises(OperatorError, match="did not answer within 0 s") as waited:
        engine.answer(lambda: late.outputs(0.1), "x", "Only looked.")
    failing = pulumi("echo 'error: no stack named x found' >&2; exit 255")
    with pytest.raises(OperatorError, match="no stack named x") as failed:
        engine.answer(failing.configuration, "x", "Only looked.")
    assert {waited.value.state, failed.value.state} == {"Only looked."}


def test_the_selected_stack_has_a_name(pulumi: Programs) -> None:
    pulumi('[ "$*" = "stack --show-name --non-interactive" ] && echo selected')
    assert engine.name(None) == "selected"
    assert engine.name("other") == "other"


def test_without_pulumi_its_absence_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///nowhere")
    with pytest.raises(OperatorError, match="not on PATH") as missing:
        engine.name(None)
    assert missing.value.state == NOTHING_CHANGED
