"""What `make lint` and the commit hooks look at: programs that only their first line gives away."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BIN = ROOT / ".venv" / "bin"
GOOD = {
    "ops/module.py": "X = 1\n",
    "host/files/gate": '#!/usr/bin/python3 -I\nprint("let in")\n',
    "tools/start": '#!/bin/sh\necho "$1"\n',
}
BROKEN = {
    "ruff check": ("host/files/fault", "#!/usr/bin/python3 -I\nimport os\n"),
    "ruff format": ("host/files/fault", "#!/usr/bin/env python3\nprint( 1 )\n"),
    "pyright": ("host/files/fault", '#!/usr/bin/python3\nNUMBER: int = ""\n'),
    "shellcheck": ("cloud_init/fault", "#!/bin/bash\nrm $1\n"),
    "shellcheck by name": ("ops/scripts/fault.sh", "# shellcheck shell=sh\nrm $1\n"),
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout with the project's own lint and nothing for it to say."""
    for name in ("Makefile", "pyproject.toml", "tools/programs"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name, text in GOOD.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / ".gitignore").write_text("/bin\n/.venv\n")
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


def only(checkout: Path, *linters: str) -> Path:
    """A folder of programs in which all linters but these have nothing to say: they take seconds.

    shellcheck is the system's, wherever that is.
    """
    folder = checkout / "bin"
    folder.mkdir()
    for name in ("ruff", "pyright", "codespell", "shellcheck"):
        real = shutil.which("shellcheck" if name == "shellcheck" else str(BIN / name))
        assert real
        (folder / name).symlink_to(real if name in linters else "/bin/true")
    (folder / "python").symlink_to(BIN / "python")
    return folder


def lint(checkout: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """`make lint` with the linters in `folder`; nothing is installed."""
    return subprocess.run(
        ["make", "--old-file=for-lint", "lint", f"BIN={folder}"],
        cwd=checkout,
        env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_checkout_in_order_passes(checkout: Path) -> None:
    done = lint(checkout, only(checkout, "ruff", "shellcheck"))
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to say" in done.stdout


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_program_is_named_whatever_it_is_called(checkout: Path, case: str) -> None:
    path, text = BROKEN[case]
    (checkout / path).parent.mkdir(parents=True, exist_ok=True)
    (checkout / path).write_text(text)
    done = lint(checkout, only(checkout, case.split()[0]))
    assert done.returncode != 0
    # ruff format, output to be quiet, names no file.
    assert path in done.stdout or case == "ruff format"


@pytest.mark.parametrize("case", ["ruff check", "ruff format", "shellcheck"])
def test_the_commit_hooks_find_what_make_lint_finds(checkout: Path, case: str) -> None:
    path, text = BROKEN[case]
    (checkout / path).parent.mkdir(parents=True, exist_ok=True)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    (hook,) = [hook for hook in hooks if hook["name"] == case]
    assert hook["always_run"] is True
    (checkout / ".venv").symlink_to(ROOT / ".venv")

    def run() -> int:
        command = ["bash", "-c", hook["entry"]]
        return subprocess.run(command, cwd=checkout, capture_output=True, check=False).returncode

    assert run() == 0
    (checkout / path).write_text(text)
    assert run() != 0


def test_every_program_of_the_checkout_is_listed_once() -> None:
    listed = [
        name
        for language in ("python", "shell")
        for name in subprocess.run(
            [ROOT / "tools" / "programs", language], capture_output=True, text=True, check=True
        ).stdout.split()
    ]
    assert len(listed) == len(set(listed))
    assert {"host/files/postgres-ssh-gate", "host/files/barman-guarded"} <= set(listed)
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    programs = {
        name
        for name in tracked
        if (ROOT / name).is_file() and (ROOT / name).read_bytes()[:2] == b"#!"
    }
    assert {name for name in programs if not name.endswith(".py")} <= set(listed)
