"""Each command that Pulumi is given names the stack, and the settings where it reads any."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import NoEngineError
from engine.pulumi import Pulumi

ECHO = """#!/usr/bin/env python3
import json, sys
print(json.dumps(sys.argv[1:]))
"""


@pytest.fixture
def pulumi(tmp_path: Path) -> Pulumi:
    """A stand-in that says what it was given."""
    program = tmp_path / "pulumi"
    program.write_text(ECHO)
    program.chmod(0o755)
    around = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    return Pulumi(tmp_path, around, "dev", tmp_path / "settings.yaml")


@pytest.mark.parametrize(
    ("ask", "reads_settings"),
    [
        (lambda pulumi: pulumi.outputs(), False),
        (lambda pulumi: pulumi.unprotect(), False),
        (lambda pulumi: pulumi.create_stack(), False),
        (lambda pulumi: pulumi.remove_stack(), False),
        (lambda pulumi: pulumi.preview(), True),
        (lambda pulumi: pulumi.configuration(), True),
        (lambda pulumi: pulumi.configure("key", "value"), True),
    ],
)
def test_a_question_waits_for_nobody(
    pulumi: Pulumi, ask: Callable[[Pulumi], subprocess.CompletedProcess[str]], reads_settings: bool
) -> None:
    given = json.loads(ask(pulumi).stdout)
    assert "--non-interactive" in given
    assert given[given.index("--stack") + 1] == "dev"
    assert ("--config-file" in given) == reads_settings


def test_what_the_operator_watches_may_go_elsewhere(pulumi: Pulumi, tmp_path: Path) -> None:
    with (tmp_path / "said").open("w") as words:
        assert pulumi.up("--refresh", words_to=words) == 0
    given = json.loads((tmp_path / "said").read_text())
    assert {"up", "--yes", "--config-file", "--refresh", "--stack"} <= set(given)


def test_what_is_imported_is_named_by_the_file_alone(
    pulumi: Pulumi, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert pulumi.import_file(tmp_path / "import.json") == 0
    given = json.loads(capfd.readouterr().out)
    assert given[given.index("--file") + 1] == str(tmp_path / "import.json")
    # The program's own code is not to be written anew.
    assert {"--yes", "--generate-code=false", "--stack", "--config-file"} <= set(given)


def test_an_interrupt_is_the_engines_and_afterwards_ours_again(
    pulumi: Pulumi, tmp_path: Path
) -> None:
    (tmp_path / "pulumi").write_text("#!/bin/sh\nkill -INT $PPID\nexit 7\n")
    before = signal.getsignal(signal.SIGINT)
    assert pulumi.destroy() == 7
    assert signal.getsignal(signal.SIGINT) is before


def test_no_pulumi(tmp_path: Path) -> None:
    missing = Pulumi(tmp_path, {"PATH": str(tmp_path)})
    with pytest.raises(NoEngineError):
        missing.outputs()
    with pytest.raises(NoEngineError):
        missing.up()
