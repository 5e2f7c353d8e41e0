"""Every page begins with a command, is listed, and is followed to its last command by a test."""

import ast
import re
from pathlib import Path

import pytest

from tests.support import pages

LAB_TESTS = Path(__file__).resolve().parents[1] / "lab"


def followed() -> set[str]:
    """The pages that a test on the lab follows: the names it gives to `follow`."""
    return {
        call.args[0].value
        for path in LAB_TESTS.glob("test_*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "follow"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


@pytest.mark.parametrize("page", pages.names())
def test_a_page_begins_with_its_command(page: str) -> None:
    text = (pages.PAGES / f"{page}.md").read_text()
    assert re.match(r"# [^\n]+\n\n```\w*\n", text)
    assert pages.commands(page)


@pytest.mark.parametrize("page", pages.names())
def test_a_page_is_listed(page: str) -> None:
    assert f"({page}.md)" in (pages.PAGES / "README.md").read_text()


@pytest.mark.parametrize("page", pages.names())
def test_no_command_is_outside_a_fence(page: str) -> None:
    """What is merely indented would be a command that no test types."""
    assert "\n\n    " not in (pages.PAGES / f"{page}.md").read_text()


def test_every_page_is_followed() -> None:
    missing = set(pages.names()) - followed()
    assert not missing, f"follow them in tests/lab/test_runbook_pages.py: {sorted(missing)}"
    assert not followed() - set(pages.names())


def test_commands_know_their_machine_and_their_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "# P\n\n```\na b\nc |\n    d\n```\nand then\n```barman\nsudo e \\\n  f\n```\n"
    (tmp_path / "p.md").write_text(text)
    monkeypatch.setattr(pages, "PAGES", tmp_path)
    found = [(c.machine, c.text) for c in pages.commands("p")]
    assert found == [("", "a b"), ("", "c | d"), ("barman", "sudo e f")]
