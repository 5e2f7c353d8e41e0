"""The provider as the engine sees it: previews, secrets, differences, refresh."""

import threading
from pathlib import Path
from typing import Any

import pytest

from lab.azure.errors import AzureError
from lab.azure.provider import AzureProvider
from lab.azure.service import Azure
from lab.azure.store import Store
from lab.rpc.provider import Call, Log, ProviderError
from lab.rpc.values import UNKNOWN, Secret, has_unknown, plain
from tests.unit.azure_fake import FakeBackend
from tests.unit.azure_world import RESOURCES, spoiled

VM = RESOURCES["VirtualMachine"]
SEALED = spoiled(VM, "osProfile.customData", Secret(VM["osProfile"]["customData"]))
TOKENS = {
    "ResourceGroup": "resources",
    "Disk": "compute",
    "VirtualMachine": "compute",
    "ActionGroup": "monitor",
    "MetricAlert": "monitor",
    "ActivityLogAlert": "monitor",
}


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def provider(tmp_path: Path, backend: FakeBackend) -> AzureProvider:
    azure = Azure(Store(tmp_path), backend)
    return AzureProvider(lambda stack: azure)


def call(name: str, preview: bool = False) -> Call:
    token = f"azure-native:{TOKENS.get(name, 'network')}:{name}"
    urn = f"urn:pulumi:lab::project::some:component:Parent${token}::{name.lower()}"
    return Call(urn, preview, Log(lambda *_: None), threading.Event())


def create_all(provider: AzureProvider) -> dict[str, tuple[str, dict[str, Any]]]:
    inputs = {**RESOURCES, "VirtualMachine": SEALED}
    return {name: provider.create(call(name), inputs[name]) for name in inputs}


def test_a_preview_of_nothing_touches_nothing(
    provider: AzureProvider, backend: FakeBackend, tmp_path: Path
) -> None:
    for name, inputs in RESOURCES.items():
        checked, failures = provider.check(call(name), {}, inputs)
        assert failures == []
        identity, outputs = provider.create(call(name, preview=True), checked)
        assert identity == ""
        assert has_unknown(outputs)
    assert backend.calls == [] and list(tmp_path.iterdir()) == []


def test_checks_fail_with_a_path_and_a_code(provider: AzureProvider) -> None:
    inputs = spoiled(VM, "hardwareProfile.vmSize", "Standard_Z1")
    _, failures = provider.check(call("VirtualMachine"), {}, inputs)
    assert [(f.path, f.reason.split(":")[0]) for f in failures] == [
        ("hardwareProfile.vmSize", "InvalidParameter")
    ]


def test_secrets_stay_secret_and_custom_data_never_comes_back(provider: AzureProvider) -> None:
    sealed = {**RESOURCES["ResourceGroup"], "tags": Secret({"a": "b"})}
    _, outputs = provider.create(call("ResourceGroup"), sealed)
    assert isinstance(outputs["tags"], Secret)
    rest = {**RESOURCES, "VirtualMachine": SEALED}
    del rest["ResourceGroup"]
    made = {name: provider.create(call(name), inputs) for name, inputs in rest.items()}
    _, outputs = made["VirtualMachine"]
    assert "customData" not in plain(outputs)["osProfile"]


def test_an_update_after_create_and_refresh_has_nothing_to_do(provider: AzureProvider) -> None:
    for name, (identity, outputs) in create_all(provider).items():
        inputs = SEALED if name == "VirtualMachine" else RESOURCES[name]
        found = provider.read(call(name), identity, outputs, inputs)
        assert found is not None and found[1] == inputs
        assert provider.diff(call(name), found[0], found[1], inputs).changes == {}


def test_outputs_are_azures(provider: AzureProvider) -> None:
    made = create_all(provider)
    vm_id, vm = made["VirtualMachine"]
    assert vm_id.endswith("/providers/Microsoft.Compute/virtualMachines/vm")
    assert (vm["name"], vm["provisioningState"], vm["location"]) == (
        "vm",
        "Succeeded",
        "westeurope",
    )
    nic_id, nic = made["NetworkInterface"]
    found = provider.read(call("NetworkInterface"), nic_id, nic, RESOURCES["NetworkInterface"])
    assert found is not None
    assert found[0]["virtualMachine"] == {"id": vm_id}
    assert found[0]["ipConfigurations"][0]["id"] == f"{nic_id}/ipConfigurations/main"
    assert made["PublicIPAddress"][1]["ipAddress"] == "198.18.7.10"


@pytest.mark.parametrize(
    ("name", "path", "value", "replaced"),
    [
        ("VirtualMachine", "vmName", "other", True),
        ("VirtualMachine", "resourceGroupName", "other", True),
        ("VirtualMachine", "osProfile.customData", "AAAA", False),
        ("VirtualMachine", "hardwareProfile.vmSize", UNKNOWN, False),
        ("Disk", "location", "northeurope", True),
        ("PublicIPAddress", "sku.tier", "Global", True),
        ("Subnet", "addressPrefix", "10.20.9.0/24", False),
        ("NatGateway", "location", "northeurope", False),
    ],
)
def test_replacing_and_updating(
    provider: AzureProvider, name: str, path: str, value: Any, replaced: bool
) -> None:
    old = RESOURCES[name]
    found = provider.diff(call(name), {}, old, spoiled(old, path, value))
    assert list(found.changes) == [path]
    assert found.changes[path].replace is replaced
    assert found.delete_before_replace is replaced


def test_one_place_has_two_spellings(provider: AzureProvider) -> None:
    old = RESOURCES["ResourceGroup"]
    new = spoiled(old, "location", "westeurope")
    assert provider.diff(call("ResourceGroup"), {}, old, new).changes == {}


def test_a_preview_shows_what_azure_would_refuse(provider: AzureProvider) -> None:
    identity, outputs = create_all(provider)["VirtualMachine"]
    changed = spoiled(VM, "osProfile.customData", "AAAA")
    with pytest.raises(AzureError, match=r"osProfile\.customData"):
        provider.update(call("VirtualMachine", preview=True), identity, outputs, VM, changed)
    unknown = spoiled(VM, "osProfile.customData", UNKNOWN)
    planned = provider.update(call("VirtualMachine", preview=True), identity, outputs, VM, unknown)
    assert planned["vmId"] == outputs["vmId"]


def test_refresh_sees_what_happened_on_the_host(
    provider: AzureProvider, backend: FakeBackend
) -> None:
    made = create_all(provider)
    backend.disks["disk"] = 48
    found = provider.read(call("Disk"), *made["Disk"], RESOURCES["Disk"])
    assert found is not None and found[1]["diskSizeGB"] == 48
    backend.disks.clear()
    assert provider.read(call("Disk"), *made["Disk"], RESOURCES["Disk"]) is None


def test_a_type_azure_has_and_the_lab_has_not(provider: AzureProvider) -> None:
    with pytest.raises(ProviderError, match="The lab has no azure-native:network:LoadBalancer"):
        provider.check(call("LoadBalancer"), {}, {})
