"""Where the source's password comes from, and that it stays there."""

from pathlib import Path

import pytest

from ops.errors import OperatorError
from ops.migrate import password
from tests.unit.ops.migrate_facts import ADDRESS


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def of_passfile(path: Path) -> str:
    return password.read(ADDRESS, passfile=path, password_file=None)


def of_file(path: Path) -> str:
    return password.read(ADDRESS, passfile=None, password_file=path)


@pytest.mark.parametrize(
    "line",
    [
        "old.example.org:5432:postgres:dbadmin:it's a \\: hard \\\\ one",
        "*:*:*:dbadmin:it's a \\: hard \\\\ one",
        "# a comment\n\nelsewhere:5432:*:dbadmin:no\n*:*:*:*:it's a \\: hard \\\\ one\n*:*:*:*:x",
    ],
)
def test_a_password_file_of_libpq_is_read_as_libpq_does(tmp_path: Path, line: str) -> None:
    assert of_passfile(written(tmp_path / "p", line)) == "it's a : hard \\ one"


def test_a_file_with_a_password_alone_is_all_of_it(tmp_path: Path) -> None:
    assert of_file(written(tmp_path / "p", " with spaces \n")) == " with spaces "


@pytest.mark.parametrize(
    ("text", "mode", "reason"),
    [
        ("x:5432:*:dbadmin:secret", 0o600, "has no line for dbadmin at old.example.org:5432"),
        ("*:*:*:*:secret", 0o644, "can be read by others"),
        ("*:*:*:*:", 0o600, "no password in"),
    ],
)
def test_a_file_that_does_not_do_is_named(
    tmp_path: Path, text: str, mode: int, reason: str
) -> None:
    with pytest.raises(OperatorError) as refused:
        of_passfile(written(tmp_path / "p", text, mode))
    assert reason in str(refused.value)
    assert "Nothing was changed." in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "\n", "two\nlines"])
def test_a_file_without_one_password_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(OperatorError, match="no password in"):
        of_file(written(tmp_path / "p", text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="cannot be read"):
        of_file(tmp_path / "none")


def test_it_is_asked_for_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def prompt(question: str) -> str:
        asked.append(question)
        return "typed"

    class Terminal:
        def __init__(self, there: bool) -> None:
            self.isatty = lambda: there

    monkeypatch.setattr("sys.stdin", Terminal(True))
    typed = password.read(ADDRESS, passfile=None, password_file=None, prompt=prompt)
    assert typed == "typed"
    assert asked == ["Password of dbadmin at old.example.org:5432: "]
    monkeypatch.setattr("sys.stdin", Terminal(False))
    with pytest.raises(OperatorError, match="--passfile"):
        password.read(ADDRESS, passfile=None, password_file=None, prompt=prompt)
