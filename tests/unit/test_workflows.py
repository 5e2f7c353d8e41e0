"""The workflows parse, and ask for no more than they need."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# The first of these, or the present one, that declares node24; GitHub's runners drop node20.
MAJORS = {
    "actions/cache": 5,
    "actions/checkout": 7,
    "actions/setup-python": 7,
    "azure/login": 3,
    "pulumi/actions": 7,
}


def load(name: str) -> dict[Any, Any]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / name).read_text())


def steps(workflow: dict[Any, Any], job: str) -> list[dict[str, Any]]:
    return workflow["jobs"][job]["steps"]


def using(workflow: dict[Any, Any], job: str, action: str) -> dict[str, Any]:
    (found,) = [step for step in steps(workflow, job) if step.get("uses", "").startswith(action)]
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_workflow_starts_from_reading_only_and_ends(path: Path) -> None:
    workflow = load(path.name)
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 90
        for step in job["steps"]:
            # A title or branch name in a script is somebody else's code.
            assert "${{" not in step.get("run", "")
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_runs_on_a_node_that_runners_have(path: Path) -> None:
    for job in load(path.name)["jobs"].values():
        for step in job["steps"]:
            if "uses" in step:
                action, _, version = step["uses"].partition("@")
                assert version == f"v{MAJORS[action]}"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_secrets_and_azure_are_for_jobs_in_an_environment(path: Path) -> None:
    """Such a job waits for the environment's reviewers, or runs on its branches alone."""
    for name, job in load(path.name)["jobs"].items():
        privileged = "secrets." in str(job) or "id-token" in job.get("permissions", {})
        assert privileged == ("environment" in job), name


def test_a_pull_request_gets_one_comment_edited_in_place_and_always_a_summary() -> None:
    given = using(load("preview.yml"), "azure", "pulumi/actions@")["with"]
    assert given["command"] == "preview"
    assert given["stack-name"] == "dev"
    assert given["comment-on-pr"] is True
    assert given["edit-pr-comment"] is True
    assert given["comment-on-summary"] is True
    assert given["policyPacks"] == "policy"


def test_azure_is_reached_without_a_stored_secret_and_never_from_a_fork() -> None:
    job = load("preview.yml")["jobs"]["azure"]
    assert job["permissions"] == {
        "contents": "read",
        "id-token": "write",
        "pull-requests": "write",
    }
    assert "head.repo.full_name == github.repository" in job["if"]
    login = using(load("preview.yml"), "azure", "azure/login@")["with"]
    assert set(login) == {"client-id", "tenant-id", "subscription-id"}
    # YAML reads the key `on` as true. pull_request_target would give forks this identity.
    assert set(load("preview.yml")[True]) == {"pull_request"}


def test_a_fork_sees_the_plan_too() -> None:
    offline = load("preview.yml")["jobs"]["offline"]
    assert "if" not in offline
    assert any("make plan STACK=dev" in step.get("run", "") for step in offline["steps"])
    assert any("GITHUB_STEP_SUMMARY" in step.get("run", "") for step in offline["steps"])


def test_the_suite_that_runs_there_is_the_one_that_runs_here() -> None:
    (step,) = [
        step for step in steps(load("tests.yml"), "test") if ".ci/run" in step.get("run", "")
    ]
    assert "'schedule' && 'test-lab' || 'test'" in step["env"]["TARGET"]
    assert '.ci/run "$TARGET"' in step["run"]
    assert set(load("tests.yml")[True]) == {"push", "pull_request", "schedule"}
    assert 'make "${1:-test}"' in (ROOT / ".ci" / "run").read_text()


def test_drift_is_looked_for_from_the_main_branch_with_no_right_to_change_anything() -> None:
    workflow = load("drift.yml")
    assert set(workflow[True]) == {"schedule", "workflow_dispatch"}
    job = workflow["jobs"]["azure"]
    assert job["permissions"] == {"contents": "read", "id-token": "write", "issues": "write"}
    (compare,) = [step for step in job["steps"] if step.get("id") == "compare"]
    assert "pulumi preview --stack dev --refresh --expect-no-changes" in compare["run"]
    # Else the exit code would be tee's.
    assert compare["shell"] == "bash"


GH = """#!/bin/sh
echo "$*" >>"$CALLS"
if [ "$2" = list ]; then printf %s "$OPEN"; exit; fi
for body; do :; done
cat "$body" >"$TEXT"
"""


@pytest.mark.parametrize(("number", "verb"), [("", "create"), ("7", "edit 7")])
def test_drift_opens_one_issue_and_keeps_it_up_to_date(
    tmp_path: Path, number: str, verb: str
) -> None:
    gh, preview = tmp_path / "gh", tmp_path / "preview.txt"
    gh.write_text(GH)
    gh.chmod(0o755)
    preview.write_text("~ sku: Premium_LRS\n" * 5000)
    around = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "TEXT": str(tmp_path / "text"),
        "OPEN": number,
        "RUN": "https://example.org/run",
    }
    subprocess.run([ROOT / "tools" / "drift-issue", preview], check=True, env=around)
    _, changed = (tmp_path / "calls").read_text().splitlines()
    assert changed.startswith(f"issue {verb} ")
    text = (tmp_path / "text").read_text()
    assert "https://example.org/run" in text and "Premium_LRS" in text
    assert len(text) < 65536
