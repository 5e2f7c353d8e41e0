"""Areas of the tests on the lab, what a fault row begins with, and the page of all rows."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.faults.start import advice
from tools import faults_page
from tools.faults_page import Results, Row

ROOT = Path(__file__).resolve().parents[2]
NO_AREA = ("core", "deep", "level(name)")
RESULTS = Results("2026-11-27 04:35", 27.3, 2, 5, [Row("a fault", "sync", "seen", 12, 0, 1.25)])


def test_every_test_on_the_lab_has_an_area() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    names = [line.split(":")[0] for line in project["tool"]["pytest"]["ini_options"]["markers"]]
    areas = " or ".join(name for name in names if name not in NO_AREA)
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-m", f"not ({areas})", "tests/lab", "tests/faults"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("next_command", "typed"),
    [
        ("python -m ops rejoin", "rejoin"),
        ("python -m ops rotate tls", "rotate tls --yes"),
        ("python -m ops recover", "recover --yes"),
        ("sudo systemctl start postgresql   (on its machine)", ""),
        ("open docs/runbooks/a-machine-does-not-answer.md", ""),
        (None, ""),
    ],
)
def test_what_a_row_types_to_make_the_stack_whole(next_command: str | None, typed: str) -> None:
    assert advice(next_command) == typed


def test_results_are_stored_and_shown(tmp_path: Path) -> None:
    file = tmp_path / "lab" / "faults.json"
    assert faults_page.load(file) is None
    RESULTS.store(file)
    assert faults_page.load(file) == RESULTS
    page = RESULTS.page()
    assert "Last run: 2026-11-27 04:35 UTC, 1 rows in 27 minutes on 2 CPUs" in page
    assert page.endswith("| a fault | sync | seen | 12 | 0 | 1.2 s |\n")


def test_the_page_has_the_words_that_make_docs_writes() -> None:
    before = RESULTS.page().partition("Last run")[0]
    assert faults_page.TARGET.read_text().startswith(before)
