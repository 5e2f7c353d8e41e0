"""The policy pack: the stacks of this repository pass, and each rule stops what it is for."""

import copy
import json
from functools import cache
from typing import Any

import pulumi_policy
import pytest
import yaml
from pulumi_policy import EnforcementLevel, PolicyResourceOptions, ResourceValidationArgs
from pulumi_policy.policy import PolicyCustomTimeouts

from policy.rules import policies
from settings.vm_sizes import VM_SIZES
from tests.unit.stack_double import ROOT, Registered, run

CONFIG = json.loads((ROOT / "policy" / "config.json").read_text())
MANDATORY = EnforcementLevel.MANDATORY


@cache
def registered(stack: str) -> tuple[Registered, ...]:
    return tuple(run(stack)[0])


def resource(name: str) -> Registered:
    """A copy of one of the dev stack's resources, to be spoiled."""
    (found,) = (item for item in registered("dev") if item.name == name)
    return copy.deepcopy(found)


def violations(*resources: Registered) -> list[tuple[str, str]]:
    """(rule, sentence) of everything the pack objects to, advice left out."""
    return [(rule, said) for rule, level, said in objections(*resources) if level is MANDATORY]


def objections(*resources: Registered) -> list[tuple[str, EnforcementLevel | None, str]]:
    found: list[tuple[str, EnforcementLevel | None, str]] = []
    for policy in policies():
        assert isinstance(policy, pulumi_policy.ResourceValidationPolicy)
        for item in resources:
            options = PolicyResourceOptions(
                item.protect, [], None, [], PolicyCustomTimeouts(0, 0, 0), []
            )
            args = ResourceValidationArgs(
                item.type,
                item.inputs,
                f"urn::{item.name}",
                item.name,
                options,
                None,
                CONFIG.get(policy.name),
            )
            policy.validate(
                args,
                lambda said, _=None, policy=policy: found.append(
                    (policy.name, policy.enforcement_level, said)
                ),
            )
    return found


@pytest.mark.parametrize("stack", ["dev", "lab"])
def test_the_stacks_of_this_repository_pass(stack: str) -> None:
    assert violations(*registered(stack)) == []


def only(rule: str, spoiled: Registered) -> str:
    """The sentence of the one violation there is; it names the resource."""
    ((broken, said),) = violations(spoiled)
    assert broken == rule
    assert said.startswith(f"{spoiled.name}: ")
    return said


def clients_rule(nsg: Registered) -> dict[str, Any]:
    return next(rule for rule in nsg.inputs["securityRules"] if rule["name"] == "AllowClients")


@pytest.mark.parametrize(
    "source", ["*", "0.0.0.0/0", "::/0", "Internet", "128.0.0.0/1", "2000::/3", "AzureCloud"]
)
def test_a_port_open_to_the_world_is_refused(source: str) -> None:
    nsg = resource("network-postgres-nsg")
    clients_rule(nsg)["sourceAddressPrefix"] = source
    said = only("no-world-open-rule", nsg)
    assert "AllowClients opens port 5432 to the world" in said
    assert source in said


def test_one_open_network_among_several_is_refused() -> None:
    nsg = resource("network-postgres-nsg")
    rule = clients_rule(nsg)
    rule["sourceAddressPrefixes"] = [rule.pop("sourceAddressPrefix"), "0.0.0.0/0"]
    assert "5432" in only("no-world-open-rule", nsg)


def test_a_rule_of_its_own_is_looked_at_too() -> None:
    rule = copy.deepcopy(clients_rule(resource("network-postgres-nsg")))
    rule["sourceAddressPrefix"] = "*"
    spoiled = Registered(
        "azure-native:network:SecurityRule", "extra", rule, "", False, (), frozenset()
    )
    assert "5432" in only("no-world-open-rule", spoiled)


@pytest.mark.parametrize("tags", [{"role": "postgres"}, {"role": "web"}, {}])
def test_a_public_address_on_any_machine_but_the_jump_host_is_refused(tags: dict[str, str]) -> None:
    nic = resource("postgres-machine-nic")
    nic.inputs["tags"] = {"project": "p", "stack": "s", **tags}
    nic.inputs["ipConfigurations"][0]["publicIPAddress"] = {"id": "/id/ip"}
    assert "jump host" in only("no-public-database", nic)


def test_an_unprotected_data_disk_is_refused() -> None:
    disk = resource("postgres-machine-data")
    disk.protect = False
    assert "protect=True" in only("protected-data-disks", disk)


@pytest.mark.parametrize("option", ["Delete", None])
def test_a_data_disk_that_goes_with_its_vm_is_refused(option: str | None) -> None:
    vm = resource("postgres-machine-vm")
    vm.inputs["storageProfile"]["dataDisks"][0]["deleteOption"] = option
    assert "Detach" in only("detached-data-disks", vm)


def test_a_data_disk_made_by_its_vm_is_refused() -> None:
    vm = resource("barman-machine-vm")
    vm.inputs["storageProfile"]["dataDisks"][0]["createOption"] = "Empty"
    assert "Disk of its own" in only("detached-data-disks", vm)


@pytest.mark.parametrize("tags", [None, {"project": "p"}, {"project": "p", "stack": ""}])
def test_a_resource_without_its_tags_is_refused(tags: dict[str, str] | None) -> None:
    group = resource("network-group")
    group.inputs["tags"] = tags
    assert "stack" in only("tags", group)


def test_a_size_that_is_not_on_the_list_is_refused() -> None:
    vm = resource("postgres-machine-vm")
    vm.inputs["hardwareProfile"]["vmSize"] = "Standard_M416ms_v2"
    assert "Standard_M416ms_v2" in only("vm-sizes", vm)


def test_a_region_that_is_not_on_the_list_is_refused() -> None:
    disk = resource("postgres-machine-data")
    disk.inputs["location"] = "East US"
    assert "East US" in only("regions", disk)


def test_encryption_at_host_is_advised_until_it_is_on() -> None:
    vm = resource("postgres-machine-vm")
    ((rule, level, said),) = objections(vm)
    assert (rule, level) == ("encryption-at-host", EnforcementLevel.ADVISORY)
    assert "pulumi config set encryptionAtHost true" in said
    vm.inputs["securityProfile"] = {"encryptionAtHost": True}
    assert objections(vm) == []


def test_every_allowed_size_is_one_that_the_program_takes() -> None:
    assert set(CONFIG["vm-sizes"]["allowed"]) <= set(VM_SIZES)


def test_the_configuration_fits_the_rules() -> None:
    listed = {
        policy.name: policy.config_schema.required for policy in policies() if policy.config_schema
    }
    assert {name: list(values) for name, values in CONFIG.items()} == listed


def test_the_pack_uses_the_project_s_own_environment() -> None:
    pack = yaml.safe_load((ROOT / "policy" / "PulumiPolicy.yaml").read_text())
    assert pack["runtime"] == {"name": "python", "options": {"virtualenv": "../.venv"}}
