"""The lab accepts nothing that Azure's own SDK does not know."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from pulumi import _types

from lab.azure.kinds import KINDS
from lab.azure.models import compute, network, resources
from lab.azure.models.base import Resource, Strict
from lab.azure.validate import structure
from lab.rpc.values import UNKNOWN, dump, load, plain
from tests.unit.azure_world import RESOURCES, kind, spoiled
from tests.unit.stack_double import run


def _models(parent: type[Strict] = Strict) -> Iterator[type[Strict]]:
    for model in parent.__subclasses__():
        yield model
        yield from _models(model)


@pytest.mark.parametrize("model", set(_models()) - {Resource}, ids=lambda model: model.__name__)
def test_property_names_are_the_sdks(model: type[Strict]) -> None:
    module, name = model.sdk.split(".")
    sdk = import_module(f"pulumi_azure_native.{module}")
    names = {name for _, name, _ in _types._py_properties(getattr(sdk, name))}
    assert set(model.model_fields) <= names


def test_all_models_are_looked_at() -> None:
    assert {kind.model for kind in KINDS.values()} <= set(_models())
    assert compute.Disk.sdk and network.Subnet.sdk and resources.ResourceGroup.sdk


@pytest.mark.parametrize("name", RESOURCES)
def test_the_complete_resources_fit(name: str) -> None:
    assert structure(kind(name).model, RESOURCES[name]) == []
    assert list(kind(name).rules(RESOURCES[name])) == []


@pytest.mark.parametrize("name", RESOURCES)
def test_every_property_may_be_unknown_in_a_preview(name: str) -> None:
    for path in _paths(RESOURCES[name]):
        inputs = spoiled(RESOURCES[name], path, UNKNOWN)
        assert structure(kind(name).model, inputs) == []
        list(kind(name).rules(inputs))


def test_the_lab_takes_what_the_program_asks_for() -> None:
    registered, _ = run(
        "dev", encrypted=("deadManUrl",), deadManUrl="https://10.40.0.27/ping", zone="2"
    )
    azure = [item for item in registered if item.type.startswith("azure-native:")]
    assert azure
    for item in azure:
        # As the engine sends them: whole numbers are integers again.
        inputs = plain(load(dump(item.inputs)))
        assert structure(KINDS[item.type].model, inputs) == [], item.name
        assert list(KINDS[item.type].rules(inputs)) == [], item.name


def _paths(value: Any, prefix: str = "") -> Iterator[str]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in pairs:
        yield f"{prefix}{key}"
        if isinstance(item, (dict, list)):
            yield from _paths(item, f"{prefix}{key}.")


def test_what_does_not_fit_is_named_with_its_path() -> None:
    vm = RESOURCES["VirtualMachine"]
    model = kind("VirtualMachine").model
    extra = structure(model, spoiled(vm, "osProfile.adminPassword", "hunter2"))
    assert [f.path for f in extra] == ["osProfile.adminPassword"]
    assert "InvalidRequestContent" in extra[0].reason and "hunter2" not in extra[0].reason
    missing = structure(model, spoiled(vm, "hardwareProfile.vmSize", None))
    assert [f.reason for f in missing] == ["missing required property 'hardwareProfile.vmSize'"]
    wrong = structure(model, spoiled(vm, "storageProfile.dataDisks.0.lun", "0"))
    assert [f.path for f in wrong] == ["storageProfile.dataDisks[0].lun"]
