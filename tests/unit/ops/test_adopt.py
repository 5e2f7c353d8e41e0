"""A lost state: what is taken over from Azure, by which id, and what is made anew."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.pulumi import Pulumi
from lab.azure.arm_id import SUBSCRIPTION
from lab.azure.kinds import KINDS
from ops import adopt
from ops.errors import NOTHING_CHANGED, OperatorError
from tests.unit.stack_double import Registered, run

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
FROM_OTHERS = ("resourceGroupName", "virtualNetworkName", "scope")
NAMING = ("ResourceGroup", "VirtualNetwork")


@pytest.fixture(scope="module")
def program() -> list[Registered]:
    """All that the program can ask Azure for."""
    mail = {"alertEmail": "dba@example.org", "smtpHost": "smtp.example.org"}
    return run("dev", diskLocks=True, smtpFrom="pg@example.org", **mail)[0]


def preview(program: list[Registered]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The import file and the steps of the first preview of a stack."""
    items, steps = [], []
    for found in program:
        component = ":index:" in found.type and not found.type.startswith("random:")
        place = {"component": True} if component else {"id": "<PLACEHOLDER>", "version": "1.2.3"}
        items.append({"type": found.type, "name": found.name, "parent": found.parent, **place})
        inputs = {
            name: UNKNOWN if name in FROM_OTHERS and not found.type.endswith(NAMING) else value
            for name, value in found.inputs.items()
        }
        state = {"type": found.type, "urn": f"urn:pulumi:dev::p::t::{found.name}", "inputs": inputs}
        steps.append({"op": "create", "newState": state})
    return {"resources": items}, steps


def test_everything_is_found_where_the_program_has_put_it(program: list[Registered]) -> None:
    found = adopt.select(*preview(program), SUBSCRIPTION)
    by_name = {item["name"]: item["id"] for item in found.file["resources"] if "id" in item}
    there = {
        item.name: item
        for item in program
        if item.type.startswith("azure-native:") and item.type != adopt.MACHINE
    }
    assert set(by_name) == set(there)
    for name, item in there.items():
        inputs = dict(item.inputs)
        if "scope" in inputs:
            inputs["scope"] = by_name[name.removesuffix("-lock")]
        assert by_name[name] == str(KINDS[item.type].identity(inputs))
    assert len(found.machines) == 2
    assert all("/virtualMachines/" in identity for identity in found.machines)


def test_components_hold_what_is_taken_over_and_secrets_are_made_anew(
    program: list[Registered],
) -> None:
    kept = adopt.select(*preview(program), SUBSCRIPTION).file["resources"]
    names = {item["name"] for item in kept}
    assert {item["parent"] for item in kept if "id" in item} <= names
    assert not any(item["type"].startswith(("random:", "command:")) for item in kept)
    # Pulumi takes the provider of the same version as the program's.
    assert {item["version"] for item in kept if "id" in item} == {"1.2.3"}


def test_every_type_that_the_lab_knows_has_its_place() -> None:
    assert set(adopt.PLACES) == set(KINDS)


@pytest.fixture
def pulumi(tmp_path: Path) -> Pulumi:
    """A stand-in for `pulumi` whose preview is in files beside it, and whose import fails."""
    (tmp_path / "pulumi").write_text(
        """#!/bin/sh
case $1 in
preview) cp import "$5" && cat steps ;;
*) cp "$3" imported && exit 3 ;;
esac
"""
    )
    (tmp_path / "pulumi").chmod(0o755)
    return Pulumi(tmp_path, {"PATH": f"{tmp_path}:/usr/bin:/bin"}, "dev")


def test_what_pulumi_could_not_import_can_be_tried_again(
    pulumi: Pulumi, program: list[Registered], tmp_path: Path
) -> None:
    file, steps = preview(program)
    (tmp_path / "import").write_text(json.dumps(file))
    (tmp_path / "steps").write_text(json.dumps({"steps": steps}))
    found = adopt.find(pulumi, SUBSCRIPTION)
    with pytest.raises(OperatorError, match="exit code 3") as failed:
        adopt.take_over(pulumi, found)
    assert failed.value.next_command and "ops adopt" in failed.value.next_command
    assert json.loads((tmp_path / "imported").read_text()) == found.file


def test_a_state_that_lacks_nothing_is_left_alone(pulumi: Pulumi, tmp_path: Path) -> None:
    (tmp_path / "import").write_text('{"resources": null}')
    (tmp_path / "steps").write_text('{"steps": []}')
    with pytest.raises(OperatorError, match="lacks nothing") as refused:
        adopt.find(pulumi, SUBSCRIPTION)
    assert refused.value.state == NOTHING_CHANGED


def test_without_a_preview_there_are_no_names(pulumi: Pulumi, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="pulumi preview fails") as refused:
        adopt.find(pulumi, SUBSCRIPTION)
    assert refused.value.state == NOTHING_CHANGED
