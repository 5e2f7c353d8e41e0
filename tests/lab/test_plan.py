"""`make plan`: the whole plan of the Azure stack, offline, and nothing but the plan on stdout."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.checkout import checkout_files, copy_checkout

pytestmark = pytest.mark.provider

ROOT = Path(__file__).resolve().parents[2]


def plan(stack: str, checkout: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lab", "plan", stack],
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
        # Somebody's login must make no difference.
        env={**os.environ, "PULUMI_ACCESS_TOKEN": "pul-0", "PULUMI_BACKEND_URL": "https://nowhere"},
    )


def tree() -> dict[str, str]:
    """Every file that is not ignored, by its contents."""
    listed = checkout_files()
    settings = [name for name in listed if name.startswith("Pulumi")]
    return dict.fromkeys(listed, "") | {name: (ROOT / name).read_text() for name in settings}


@pytest.mark.parametrize("stack", ["dev", "lab"])
def test_the_plan_creates_the_whole_stack(stack: str) -> None:
    done = plan(stack)
    assert done.returncode == 0, done.stderr
    planned = json.loads(done.stdout)
    assert {step["op"] for step in planned["steps"]} == {"create"}
    kinds = [step["urn"].split("::")[2].rpartition("$")[2] for step in planned["steps"]]
    assert kinds.count("azure-native:compute:VirtualMachine") == 2
    assert kinds.count("azure-native:compute:Disk") == 2
    assert "policy encryption-at-host (advisory)" in done.stderr
    assert "(mandatory)" not in done.stderr


def test_a_change_that_opens_postgres_to_the_world_is_stopped(tmp_path: Path) -> None:
    checkout = copy_checkout(tmp_path, image="debian-13")
    rules = checkout / "components" / "security_rules.py"
    asked = '"AllowClients", 100, clients,'
    assert asked in rules.read_text()
    rules.write_text(rules.read_text().replace(asked, '"AllowClients", 100, ["0.0.0.0/0"],'))
    done = plan("dev", checkout)
    assert done.returncode != 0
    objections = [line for line in done.stderr.splitlines() if "(mandatory)" in line]
    assert len(objections) == 1
    assert "opens port 5432 to the world (0.0.0.0/0)" in objections[0]
    # The plan itself is still there to be read, alone.
    assert json.loads(done.stdout)["steps"]


def test_a_plan_leaves_no_trace_in_the_checkout() -> None:
    before, labs = tree(), sorted((ROOT / ".lab").glob("**/*.json"))
    plan("dev")
    assert tree() == before
    assert sorted((ROOT / ".lab").glob("**/*.json")) == labs


def test_a_refused_plan_keeps_its_words_off_stdout() -> None:
    done = plan("nowhere")
    assert done.returncode == 3
    assert done.stdout == ""
    assert "dev" in done.stderr
