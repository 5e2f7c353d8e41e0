"""The runbooks' command line: one command imports what it needs, and the help knows them all."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from ops import cli
from ops.__main__ import COMMANDS, command_line

# What takes long to import, and nobody needs before the engine is at work.
SLOW = ("paramiko", "pydantic", "rich.console", "jinja2", "http.client")


def _commands(words: list[str]) -> set[str]:
    return set(typer.main.get_group(command_line(words)).commands)


@pytest.mark.parametrize("module", COMMANDS)
def test_each_module_has_the_commands_that_it_is_imported_for(module: str) -> None:
    app = typer.Typer(callback=lambda: None)
    app.add_typer(import_module(f"ops.cli.{module}").app)
    assert set(typer.main.get_group(app).commands) == set(COMMANDS[module])


def test_no_module_with_commands_is_left_out() -> None:
    modules = {path.stem for path in Path(cli.__path__[0]).glob("*.py")}
    assert {name for name in modules if hasattr(_imported(name), "app")} == set(COMMANDS)


def _imported(name: str) -> object:
    return import_module("ops.cli" if name == "__init__" else f"ops.cli.{name}")


@pytest.mark.parametrize("words", [[], ["--help"], ["statsu"]])
def test_the_help_and_a_mistyped_word_know_every_command(words: list[str]) -> None:
    assert _commands(words) == {name for names in COMMANDS.values() for name in names}


def test_a_mistyped_command_is_told_which_one_was_meant() -> None:
    said = CliRunner().invoke(command_line(["statsu"]), ["statsu"])
    assert said.exit_code == 2
    assert "Did you mean 'status'?" in said.output


def test_status_asks_the_engine_before_it_imports_what_takes_long() -> None:
    program = (
        "import sys; from ops.__main__ import command_line; command_line(['status']);"
        f"print(*[name for name in {SLOW} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("\n", "")
