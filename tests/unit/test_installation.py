"""What gets installed: every pin is locked with hashes, and the runbooks' script starts them."""

import importlib
import re
import tomllib
from pathlib import Path

from tests.unit.test_layers import ALLOWED

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
TOP_LEVEL = ("requirements.txt", "requirements-dev.txt")


def normalized(name: str) -> str:
    """A distribution's name as indexes compare it, without its extras."""
    return re.sub(r"[-_.]+", "-", name.split("[")[0]).lower()


def pins(text: str) -> dict[str, str]:
    """Version of each distribution that a requirements file names."""
    found = re.findall(r"^([A-Za-z0-9][\w.\[\]-]*)==([^\s;]+)", text, re.MULTILINE)
    return {normalized(name): version for name, version in found}


def lines(name: str) -> list[str]:
    """The entries of a requirements file, without comments and inclusions."""
    text = (ROOT / name).read_text().splitlines()
    return [line for line in text if line and not line.startswith(("#", "-r "))]


def test_every_direct_requirement_is_pinned() -> None:
    for name in TOP_LEVEL:
        assert len(pins((ROOT / name).read_text())) == len(lines(name))


def test_the_lock_has_every_pin() -> None:
    locked = pins((ROOT / "requirements.lock").read_text())
    wanted = {k: v for name in TOP_LEVEL for k, v in pins((ROOT / name).read_text()).items()}
    assert {name: locked.get(name) for name in wanted} == wanted, "run: make lock"


def test_everything_in_the_lock_has_a_hash_and_no_address() -> None:
    entries = re.split(r"\n(?=\S)", (ROOT / "requirements.lock").read_text().strip())
    for entry in entries:
        if not entry.startswith("#"):
            assert re.match(r"\S+==\S+ .*?--hash=sha256:[0-9a-f]{64}", entry, re.DOTALL), entry
            assert "://" not in entry


def test_make_installs_the_lock_by_its_hashes() -> None:
    bootstrap = (ROOT / "tools" / "bootstrap").read_text()
    assert "--require-hashes -r requirements.lock" in bootstrap
    assert "cat requirements.lock" in bootstrap, "the stamp does not depend on the lock"


def test_the_console_script_is_the_runbooks_command_line() -> None:
    module, _, function = PROJECT["project"]["scripts"]["postgres-barman-ops"].partition(":")
    assert (module, function) == ("ops.__main__", "main")
    assert callable(getattr(importlib.import_module(module), function))


def test_whatever_the_runbooks_import_is_installed_with_them() -> None:
    needed, todo = set[str](), ["ops"]
    while todo:
        needed.add(room := todo.pop())
        todo += ALLOWED[room] - needed
    included = PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {f"{room}*" for room in needed} == set(included)


def test_every_file_that_is_no_module_is_installed_with_its_package() -> None:
    data = PROJECT["tool"]["setuptools"]["package-data"]
    for room in ("engine", "host", "ops"):
        covered = {path for pattern in data.get(room, []) for path in (ROOT / room).glob(pattern)}
        files = {
            path
            for path in (ROOT / room).rglob("*")
            if path.is_file() and path.suffix not in (".py", ".pyc")
        }
        assert files <= covered, sorted(map(str, files - covered))
