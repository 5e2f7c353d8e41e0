"""The workflows parse, and ask for no more than they need."""

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


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
    assert any(".ci/run" in step.get("run", "") for step in steps(load("tests.yml"), "test"))
    assert "make test" in (ROOT / ".ci" / "run").read_text()
