"""What Azure refuses for the sake of other resources, and what is left after a failure."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.azure import topology
from lab.azure.arm_id import parse
from lab.azure.errors import AzureError
from lab.azure.service import Azure
from lab.azure.store import Store
from lab.azure.validate import structure
from tests.unit.azure_fake import FakeBackend
from tests.unit.azure_world import (
    RESOURCES,
    change,
    delete,
    identity,
    kind,
    populate,
    put,
    spoiled,
)


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def azure(store: Store, backend: FakeBackend) -> Azure:
    azure = Azure(store, backend)
    populate(azure)
    backend.calls.clear()
    return azure


def refuses(code: str) -> Any:
    return pytest.raises(AzureError, match=f'^Code="{code}"')


def other(name: str, **paths: Any) -> dict[str, Any]:
    """The inputs of a second resource of one type; `a__b` stands for the path `a.b`."""
    inputs = RESOURCES[name]
    for path, value in paths.items():
        inputs = spoiled(inputs, path.replace("__", "."), value)
    return inputs


def lock(azure: Azure, scope: str) -> None:
    locks = kind("ManagementLockByScope")
    inputs = {"scope": scope, "lockName": "keep", "level": "CanNotDelete"}
    assert structure(locks.model, inputs) == [] == list(locks.rules(inputs))
    azure.create(locks, f"urn:{scope}", inputs, "", lambda _: None)


def test_a_lock_keeps_its_disk_and_the_group_until_it_is_gone(azure: Azure, store: Store) -> None:
    disk, nic = identity("Disk"), identity("NetworkInterface")
    lock(azure, str(disk))
    delete(azure, "VirtualMachine")
    for locked in ("Disk", "ResourceGroup"):
        with refuses("ScopeLocked"):
            delete(azure, locked)
    change(azure, "Disk", other("Disk", diskSizeGB=64))
    delete(azure, "NetworkInterface")
    assert store.get(disk) and not store.get(nic)
    (held,) = store.all("Microsoft.Authorization/locks")
    assert parse(str(held.id)) == held.id
    assert str(held.id) == f"{disk}/providers/Microsoft.Authorization/locks/keep"
    azure.delete(kind("ManagementLockByScope"), held.id)
    delete(azure, "Disk")
    assert store.get(disk) is None


def test_a_lock_goes_with_a_disk_that_is_lost(azure: Azure, backend: FakeBackend) -> None:
    locks = kind("ManagementLockByScope")
    lock(azure, str(identity("Disk")))
    held = identity("ManagementLockByScope", {"scope": str(identity("Disk")), "lockName": "keep"})
    assert azure.get(locks, held) is not None
    backend.disks.clear()
    assert azure.get(locks, held) is None


def test_a_lock_needs_something_to_lie_on(azure: Azure) -> None:
    with refuses("ResourceNotFound"):
        lock(azure, str(identity("Disk")) + "-other")
    broken = {"scope": "disk", "lockName": "keep", "level": "CanNotDelete"}
    (failure,) = kind("ManagementLockByScope").rules(broken)
    assert failure.path == "scope"


def test_the_whole_network_reaches_the_lab(azure: Azure, backend: FakeBackend) -> None:
    assert backend.network is not None
    subnet, nic = backend.network.subnets[0], backend.network.nics[0]
    assert (subnet.key, subnet.nat_address, subnet.default_outbound) == (
        "vnet/db",
        "198.18.7.10",
        False,
    )
    assert subnet.security_rules is not None
    assert subnet.security_rules[0].destination_ports == ("22", "1000-2000")
    assert (nic.subnet, nic.address) == ("vnet/db", "10.20.1.10")
    spec = backend.machines["vm"]
    assert spec.nics[0] == ("vnet/db", "10.20.1.10/24", "10.20.1.1", nic.mac)
    assert (spec.custom_data, spec.admin_user) == (b"#cloud-config\n", "dbadmin")
    assert [(d.lun, str(d.path)) for d in spec.disks] == [(0, "/disks/disk")]
    assert backend.running == {"vm"}


def test_the_store_holds_no_custom_data(azure: Azure, store: Store, tmp_path: Path) -> None:
    files = list((tmp_path / "store").iterdir())
    secret = RESOURCES["VirtualMachine"]["osProfile"]["customData"]
    assert not [f for f in files if secret in f.read_text()]
    assert {f.stat().st_mode & 0o077 for f in files} == {0}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Subnet", "InUseSubnetCannotBeDeleted"),
        ("VirtualNetwork", "InUseSubnetCannotBeDeleted"),
        ("NetworkSecurityGroup", "InUseNetworkSecurityGroupCannotBeDeleted"),
        ("PublicIPAddress", "PublicIPAddressCannotBeDeleted"),
        ("NatGateway", "InUseNatGatewayCannotBeDeleted"),
        ("NetworkInterface", "NicInUse"),
        ("Disk", "OperationNotAllowed"),
    ],
)
def test_nothing_in_use_is_deleted(
    azure: Azure, backend: FakeBackend, name: str, code: str
) -> None:
    with refuses(code):
        delete(azure, name)
    assert azure.get(kind(name), identity(name)) is not None
    assert backend.calls == []


def test_deleting_backwards_leaves_nothing(
    azure: Azure, store: Store, backend: FakeBackend
) -> None:
    for name in reversed(RESOURCES):
        delete(azure, name)
        delete(azure, name)
    assert store.all() == []
    assert (backend.disks, backend.machines) == ({}, {})
    assert backend.network is not None and backend.network.networks == ()


def test_a_group_takes_all_it_holds_with_it(
    azure: Azure, store: Store, backend: FakeBackend
) -> None:
    delete(azure, "ResourceGroup")
    assert store.all() == []
    assert (backend.disks, backend.machines) == ({}, {})


@pytest.mark.parametrize(
    ("name", "inputs", "code"),
    [
        ("Subnet", other("Subnet", subnetName="b"), "NetcfgSubnetRangesOverlap"),
        (
            "Subnet",
            other("Subnet", subnetName="b", addressPrefix="10.21.0.0/24"),
            "NetcfgInvalidSubnet",
        ),
        (
            "Subnet",
            other("Subnet", subnetName="b", virtualNetworkName="none"),
            "InvalidResourceReference",
        ),
        (
            "NetworkInterface",
            other("NetworkInterface", networkInterfaceName="b"),
            "PrivateIPAddressIsAllocated",
        ),
        (
            "NetworkInterface",
            other(
                "NetworkInterface",
                networkInterfaceName="b",
                ipConfigurations__0__privateIPAddress="10.20.1.3",
            ),
            "PrivateIPAddressInReservedRange",
        ),
        (
            "NetworkInterface",
            other(
                "NetworkInterface",
                networkInterfaceName="b",
                ipConfigurations__0__privateIPAddress="10.20.2.4",
            ),
            "PrivateIPAddressNotInSubnet",
        ),
        (
            "NetworkInterface",
            other("NetworkInterface", ipConfigurations__0__subnet__id="nonsense"),
            "LinkedInvalidPropertyId",
        ),
        ("NatGateway", other("NatGateway", natGatewayName="b"), "PublicIPAddressInUse"),
        ("Disk", other("Disk", resourceGroupName="elsewhere"), "ResourceGroupNotFound"),
        ("VirtualMachine", other("VirtualMachine", vmName="b"), "NicInUse"),
    ],
)
def test_refused_for_the_sake_of_others(
    azure: Azure, store: Store, name: str, inputs: dict[str, Any], code: str
) -> None:
    before = store.all()
    with refuses(code):
        put(azure, name, inputs)
    assert store.all() == before


def test_a_disk_belongs_to_one_machine(azure: Azure) -> None:
    nic = other(
        "NetworkInterface",
        networkInterfaceName="b",
        ipConfigurations__0__privateIPAddress="10.20.1.11",
    )
    put(azure, "NetworkInterface", nic)
    vm = other("VirtualMachine", vmName="b")
    reference = str(identity("NetworkInterface", nic))
    with refuses("ConflictingUserInput"):
        put(
            azure,
            "VirtualMachine",
            spoiled(vm, "networkProfile.networkInterfaces.0.id", reference),
        )


def test_a_machine_and_its_disk_are_in_one_zone(azure: Azure) -> None:
    disk = other("Disk", diskName="b", zones=["2"])
    put(azure, "Disk", disk)
    reference = str(identity("Disk", disk))
    with refuses("BadRequest"):
        change(
            azure,
            "VirtualMachine",
            other("VirtualMachine", storageProfile__dataDisks__0__managedDisk__id=reference),
        )


def test_a_nat_gateway_and_its_address_are_in_one_zone(azure: Azure) -> None:
    address = other("PublicIPAddress", publicIpAddressName="b", zones=None)
    put(azure, "PublicIPAddress", address)
    reference = str(identity("PublicIPAddress", address))
    with refuses("NatGatewayAndPublicIpZoneMismatch"):
        put(
            azure,
            "NatGateway",
            other("NatGateway", natGatewayName="b", publicIpAddresses__0__id=reference),
        )


def test_a_name_is_taken_once(azure: Azure) -> None:
    with refuses("Conflict"):
        put(azure, "Disk", urn="urn:somebody::else")


@pytest.mark.parametrize(
    ("name", "path", "value", "code"),
    [
        ("VirtualMachine", "osProfile.customData", "AAAA", "PropertyChangeNotAllowed"),
        ("VirtualMachine", "osProfile.adminUsername", "me", "PropertyChangeNotAllowed"),
        (
            "VirtualMachine",
            "storageProfile.imageReference.version",
            "1.2.3",
            "PropertyChangeNotAllowed",
        ),
        ("VirtualMachine", "storageProfile.osDisk.diskSizeGB", 64, "ResizeDiskError"),
        ("Disk", "diskSizeGB", 16, "ResizeDiskError"),
        ("Disk", "sku.name", "StandardSSD_LRS", "OperationNotAllowed"),
        ("NatGateway", "location", "northeurope", "InvalidResourceLocation"),
        ("Disk", "zones", ["2"], "BadRequest"),
        ("VirtualMachine", "zones", ["2"], "PropertyChangeNotAllowed"),
        ("NatGateway", "zones", None, "ResourceAvailabilityZonesCannotBeModified"),
        ("PublicIPAddress", "zones", None, "ResourceAvailabilityZonesCannotBeModified"),
        ("Subnet", "addressPrefix", "10.20.3.0/24", "InUsePrefixCannotBeDeleted"),
        (
            "VirtualNetwork",
            "addressSpace.addressPrefixes",
            ["10.30.0.0/16"],
            "NetcfgInvalidSubnet",
        ),
    ],
)
def test_refused_changes(
    azure: Azure, store: Store, backend: FakeBackend, name: str, path: str, value: Any, code: str
) -> None:
    before = store.all()
    with refuses(code):
        change(azure, name, spoiled(RESOURCES[name], path, value))
    assert (store.all(), backend.calls) == (before, [])


@pytest.mark.parametrize(
    ("old", "new", "refused"), [(4095, 4096, True), (32, 4095, False), (4096, 5000, False)]
)
def test_a_disk_passes_four_tebibytes_only_while_its_machine_is_off(
    azure: Azure, backend: FakeBackend, old: int, new: int, refused: bool
) -> None:
    backend.running.discard("vm")
    change(azure, "Disk", spoiled(RESOURCES["Disk"], "diskSizeGB", old))
    backend.running.add("vm")
    larger = spoiled(RESOURCES["Disk"], "diskSizeGB", new)
    if refused:
        with refuses("OperationNotAllowed"):
            change(azure, "Disk", larger)
        backend.running.discard("vm")
    change(azure, "Disk", larger)
    assert list(backend.disks.values()) == [new]


def test_accelerated_networking_is_switched_only_while_the_machine_is_off(
    azure: Azure, backend: FakeBackend
) -> None:
    nic = spoiled(RESOURCES["NetworkInterface"], "enableAcceleratedNetworking", None)
    with refuses("OperationNotAllowed"):
        change(azure, "NetworkInterface", nic)
    backend.running.discard("vm")
    change(azure, "NetworkInterface", nic)


def test_a_new_size_restarts_the_machine(azure: Azure, backend: FakeBackend) -> None:
    vm = spoiled(RESOURCES["VirtualMachine"], "hardwareProfile.vmSize", "Standard_D4s_v3")
    change(azure, "VirtualMachine", vm)
    assert backend.calls == [("power_off", "vm"), ("start", "vm")]
    change(azure, "VirtualMachine", spoiled(vm, "tags", {"new": "tag"}))
    assert len(backend.calls) == 2


def test_a_disk_grows_while_it_is_in_use(azure: Azure, backend: FakeBackend) -> None:
    change(azure, "Disk", spoiled(RESOURCES["Disk"], "diskSizeGB", 64))
    assert backend.calls == [("grow_disk", "disk")]


def test_a_rule_reaches_the_firewall_and_tags_do_not(azure: Azure, backend: FakeBackend) -> None:
    group = RESOURCES["NetworkSecurityGroup"]
    change(azure, "NetworkSecurityGroup", spoiled(group, "tags", {}))
    assert backend.calls == []
    change(azure, "NetworkSecurityGroup", spoiled(group, "securityRules.0.access", "Deny"))
    assert backend.calls == [("apply",)]


def test_facts_stay(azure: Azure) -> None:
    before = azure.get(kind("NetworkInterface"), identity("NetworkInterface"))
    after = change(azure, "NetworkInterface", spoiled(RESOURCES["NetworkInterface"], "tags", {}))
    assert before is not None and after.facts == before.facts
    assert after.facts["macAddress"].startswith("00-0D-3A-")


def test_a_dynamic_address_is_the_first_free_one(azure: Azure) -> None:
    nic = other(
        "NetworkInterface",
        networkInterfaceName="b",
        ipConfigurations__0__privateIPAddress=None,
        ipConfigurations__0__privateIPAllocationMethod="Dynamic",
    )
    assert put(azure, "NetworkInterface", nic).facts["privateIPAddress"] == "10.20.1.4"


def test_public_addresses_are_given_out_once(azure: Azure) -> None:
    for name in ("b", "c"):
        put(azure, "PublicIPAddress", other("PublicIPAddress", publicIpAddressName=name))
    with refuses("PublicIPCountLimitReached"):
        put(azure, "PublicIPAddress", other("PublicIPAddress", publicIpAddressName="d"))


@pytest.mark.parametrize("step", ["provision", "start", "await_provisioned"])
def test_a_machine_that_fails_is_cleaned_up(
    azure: Azure, store: Store, backend: FakeBackend, step: str
) -> None:
    delete(azure, "VirtualMachine")
    backend.fail = step
    with refuses("OSProvisioningInternalError"):
        put(azure, "VirtualMachine")
    assert backend.machines == {} and store.get(identity("VirtualMachine")) is None
    put(azure, "VirtualMachine")
    assert backend.running == {"vm"}


def test_a_network_that_fails_is_as_before(
    azure: Azure, store: Store, backend: FakeBackend
) -> None:
    before = store.all()
    backend.fail = "apply"
    with refuses("OSProvisioningInternalError"):
        put(azure, "Subnet", other("Subnet", subnetName="b", addressPrefix="10.20.2.0/24"))
    assert store.all() == before


def test_what_a_dead_process_was_making_is_removed(
    azure: Azure, store: Store, backend: FakeBackend
) -> None:
    vm = store.get(identity("VirtualMachine"))
    assert vm is not None
    store.put(replace(vm, maker="1:not-when-it-started"))
    delete(azure, "NetworkInterface")
    assert backend.machines == {} and store.get(vm.id) is None


def test_what_the_engine_did_not_write_down_is_taken_over(
    azure: Azure, backend: FakeBackend
) -> None:
    first = azure.get(kind("VirtualMachine"), identity("VirtualMachine"))
    assert first is not None
    assert put(azure, "VirtualMachine").facts["vmId"] == first.facts["vmId"]
    assert backend.calls == []
    fresh = spoiled(RESOURCES["VirtualMachine"], "osProfile.customData", "AAAA")
    assert put(azure, "VirtualMachine", fresh).facts["vmId"] != first.facts["vmId"]
    # Of a disk nobody throws the data away.
    with refuses("ResizeDiskError"):
        put(azure, "Disk", spoiled(RESOURCES["Disk"], "diskSizeGB", 16))


def test_what_is_gone_from_the_host_is_gone(azure: Azure, backend: FakeBackend) -> None:
    backend.machines.clear()
    assert azure.get(kind("VirtualMachine"), identity("VirtualMachine")) is None
    delete(azure, "NetworkInterface")


def test_a_machine_takes_along_what_it_is_told_to(azure: Azure, backend: FakeBackend) -> None:
    vm = RESOURCES["VirtualMachine"]
    vm = spoiled(vm, "storageProfile.dataDisks.0.deleteOption", "Delete")
    vm = spoiled(vm, "networkProfile.networkInterfaces.0.deleteOption", "Delete")
    change(azure, "VirtualMachine", vm)
    delete(azure, "VirtualMachine")
    assert backend.disks == {}
    assert azure.get(kind("NetworkInterface"), identity("NetworkInterface")) is None


def test_the_topology_of_nothing_is_empty() -> None:
    assert topology.build([]).networks == ()
