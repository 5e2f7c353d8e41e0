"""Which marks a rotation sets, in which order, and how an interrupted one goes on."""

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ops.errors import OperatorError
from ops.rotate.engine import Engine
from ops.rotate.plan import AFTERWARDS, CHANGES, Kind, plan

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MARK = "20261124T120000Z"
OLD = "20260101T000000Z"


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (Kind.PASSWORD, ("password",)),
        (Kind.SSH, ("sshNext", "ssh")),
        (Kind.TLS, ("tls",)),
    ],
)
def test_a_rotation_begins_with_the_moment_and_says_what_changes(
    kind: Kind, settings: tuple[str, ...]
) -> None:
    for marks in ({}, dict.fromkeys(settings, OLD)):
        found = plan(kind, marks, marks, NOW)
        assert (found.mark, found.settings, found.resumed) == (MARK, settings, False)
    assert CHANGES[kind] and AFTERWARDS[kind]


def test_an_unfinished_rotation_is_finished_rather_than_a_second_begun() -> None:
    later = NOW + timedelta(hours=1)
    found = plan(Kind.PASSWORD, {"password": MARK}, {"password": OLD}, later)
    assert (found.mark, found.settings, found.resumed) == (MARK, ("password",), True)


@pytest.mark.parametrize(
    ("configured", "reached", "left"),
    [
        ({"sshNext": MARK}, {}, ("sshNext", "ssh")),
        ({"sshNext": MARK}, {"sshNext": MARK}, ("ssh",)),
        ({"sshNext": MARK, "ssh": MARK}, {"sshNext": MARK}, ("ssh",)),
        ({"sshNext": MARK, "ssh": OLD}, {"sshNext": OLD, "ssh": OLD}, ("sshNext", "ssh")),
    ],
)
def test_the_old_key_is_shut_out_only_after_the_new_one_was_let_in(
    configured: dict[str, str], reached: dict[str, str], left: tuple[str, ...]
) -> None:
    found = plan(Kind.SSH, configured, reached, NOW + timedelta(hours=1))
    assert (found.mark, found.settings, found.resumed) == (MARK, left, True)


def test_killed_after_any_update_it_comes_to_the_same_end() -> None:
    for killed_before, killed_after in itertools.product((True, False), repeat=2):
        configured: dict[str, str] = {}
        reached: dict[str, str] = {}
        runs = 0
        while not runs or configured != reached or configured.get("ssh", "") == "":
            runs += 1
            found = plan(Kind.SSH, configured, reached, NOW + timedelta(hours=runs - 1))
            configured[found.settings[0]] = found.mark
            if not (killed_before and runs % 2):
                reached = dict(configured)
            if not killed_after:
                for setting in found.settings[1:]:
                    configured[setting] = found.mark
                    reached = dict(configured)
        assert configured == {"sshNext": MARK, "ssh": MARK}


def test_kinds_do_not_meddle_with_each_other() -> None:
    found = plan(Kind.TLS, {"password": MARK}, {}, NOW)
    assert (found.settings, found.resumed) == (("tls",), False)


def test_a_clock_behind_the_last_rotation_is_refused() -> None:
    with pytest.raises(OperatorError, match="clock says 20261124T120000Z") as refused:
        plan(Kind.TLS, {"tls": MARK}, {"tls": MARK}, NOW)
    assert refused.value.state == "Nothing was changed."


def test_a_mark_is_no_secret_whatever_its_key_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pulumi").write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/ran\n')
    (tmp_path / "pulumi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "file:///nowhere")
    Engine("dev").update(plan(Kind.PASSWORD, {}, {}, NOW), "password")
    first, second = (tmp_path / "ran").read_text().splitlines()
    assert first.startswith(f"config set --plaintext --path rotations.password {MARK}")
    assert second.startswith("up ")
