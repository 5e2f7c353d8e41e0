"""Virtual machines: what may change on them, and the real machine behind each."""

import base64
import hashlib
from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any
from uuid import uuid4

from lab.azure import arm_types as types
from lab.azure import catalogue
from lab.azure.arm_id import parse
from lab.azure.behave_compute import now
from lab.azure.behaviour import Behaviour, Properties, zones
from lab.azure.errors import AzureError, property_change
from lab.azure.store import Resource
from lab.azure.topology import mac, subnet_key
from lab.azure.validate import known
from lab.azure.world import World, data_disks
from lab.machines.machine import DataDisk, Interface, MachineSpec
from lab.net import fabric

# Paths as azure-native has them; Azure's own error leaves out storageProfile.
_FIXED = (
    "osProfile.computerName",
    "osProfile.adminUsername",
    "osProfile.linuxConfiguration.disablePasswordAuthentication",
    "osProfile.linuxConfiguration.provisionVMAgent",
    "osProfile.linuxConfiguration.ssh.publicKeys",
    "securityProfile.securityType",
    "securityProfile.uefiSettings",
    "storageProfile.imageReference",
    "storageProfile.osDisk.createOption",
    "storageProfile.osDisk.name",
    "storageProfile.osDisk.managedDisk.storageAccountType",
)


class Machines(Behaviour):
    computed = ("vmId", "timeCreated", "etag")
    write_only = ("osProfile", "customData")
    real = True
    disposable = True

    def change(self, new: Resource, old: Resource, inputs: Properties) -> None:
        for path in _FIXED:
            steps = path.split(".")
            if known(new.inputs, *steps) != known(old.inputs, *steps):
                raise property_change(path.removeprefix("storageProfile."))
        if _digest(inputs) != old.facts["customDataDigest"]:
            raise property_change("osProfile.customData")
        if _os_disk_size(new) != _os_disk_size(old):
            raise AzureError(
                "ResizeDiskError",
                f"Managed disk resize via Virtual Machine '{new.id.name}' is not allowed. Please "
                "resize disk resource of the OS disk while the VM is deallocated.",
                target="osDisk.diskSizeGB",
            )
        if zones(new) != zones(old):
            raise property_change("zones")
        if _interfaces(new) != _interfaces(old):
            raise AzureError(
                "AddingOrDeletingNetworkInterfacesOnARunningVirtualMachineNotSupported",
                "Network interfaces cannot be added to or removed from a running virtual machine "
                f"{new.id}. The virtual machine must be deallocated first.",
            )

    def admit(self, world: World, new: Resource, old: Resource | None) -> None:
        for identity in _interfaces(new):
            nic = world.referred(identity, types.NIC, new.id)
            owner = world.owner_of(nic.id)
            if owner and owner.id.key != new.id.key:
                raise AzureError(
                    "NicInUse",
                    f"Network Interface {nic.id} is used by existing resource {owner.id}. In "
                    "order to use it here, it must be dissociated from that resource.",
                )
        for disk in data_disks(new.inputs):
            found = world.referred(disk["managedDisk"]["id"], types.DISK, new.id)
            owner = world.owner_of(found.id)
            if owner and owner.id.key != new.id.key:
                raise AzureError(
                    "ConflictingUserInput",
                    f"Disk '{found.id}' cannot be attached as the disk is already owned by VM "
                    f"'{owner.id}'.",
                )
            if not found.inputs.get("sku", {}).get("name", "").endswith("_ZRS") and zones(
                found
            ) != zones(new):
                raise AzureError(
                    "BadRequest",
                    f"Disk {found.id} cannot be attached to the VM because it is not in zone "
                    f"'{', '.join(zones(new))}'.",
                )
        for other in world.store.all(types.VM):
            if other.id.name.lower() == new.id.name.lower() and other.id.key != new.id.key:
                raise AzureError("NotSupportedByLab", f"{other.id} has the same name.")

    def facts(
        self, world: World, new: Resource, old: Resource | None, inputs: Properties
    ) -> Properties:
        facts = dict(old.facts) if old else {"vmId": str(uuid4()), "timeCreated": now()}
        # The data itself holds private keys and is not kept.
        return {**facts, "customDataDigest": _digest(inputs)}

    def outputs(self, world: World, resource: Resource) -> Properties:
        return {
            "vmId": resource.facts["vmId"],
            "timeCreated": resource.facts["timeCreated"],
            "etag": '"1"',
        }

    def realise(
        self,
        world: World,
        new: Resource,
        old: Resource | None,
        inputs: Properties,
        say: Callable[[str], None],
    ) -> None:
        name = new.id.name
        if old is None:
            say("provisioning the machine")
            world.backend.provision(specification(world, new, inputs))
            say("starting the machine")
            world.backend.start(name)
            say("waiting for its agent's report")
            world.backend.await_provisioned(name)
            return
        resized = new.inputs["hardwareProfile"] != old.inputs["hardwareProfile"]
        plugged = _attached(new) != _attached(old)
        if not (resized or plugged):
            return
        was_running = world.backend.machine_runs(name)
        say("restarting the machine")
        world.backend.power_off(name)
        if plugged:
            world.backend.provision(specification(world, new, inputs))
        if was_running:
            world.backend.start(name)

    def goes_with(self, resource: Resource) -> list[str]:
        references = resource.inputs["networkProfile"]["networkInterfaces"]
        disks = data_disks(resource.inputs)
        return [
            *(d["managedDisk"]["id"] for d in disks if d.get("deleteOption") == "Delete"),
            *(r["id"] for r in references if r.get("deleteOption") == "Delete"),
        ]

    def remove(self, world: World, resource: Resource) -> None:
        world.backend.delete_machine(resource.id.name)

    def exists(self, world: World, resource: Resource) -> bool:
        return world.backend.machine_exists(resource.id.name)


def specification(world: World, vm: Resource, inputs: Properties) -> MachineSpec:
    """The machine that Azure would make of a VM. `inputs` hold the customData, `vm` does not."""
    image = inputs["storageProfile"]["imageReference"]
    profile = inputs["osProfile"]
    keys = profile["linuxConfiguration"]["ssh"]["publicKeys"]
    release = catalogue.release(image["publisher"], image["offer"], image["sku"])
    if release is None:
        raise AzureError("PlatformImageNotFound", f"No image {image['offer']}:{image['sku']}.")
    return MachineSpec(
        name=vm.id.name,
        image_release=release,
        instance_id=vm.facts["vmId"],
        hostname=profile["computerName"],
        admin_user=profile["adminUsername"],
        admin_keys=tuple(key["keyData"] for key in keys),
        custom_data=base64.b64decode(profile.get("customData") or ""),
        nics=tuple(_interface(world, vm, identity) for identity in _interfaces(vm)),
        disks=tuple(
            DataDisk(d["lun"], world.backend.disk_path(parse(d["managedDisk"]["id"]).name))
            for d in data_disks(vm.inputs)
        ),
        nameservers=(fabric.RESOLVER,),
    )


def _interface(world: World, vm: Resource, identity: str) -> Interface:
    nic = world.referred(identity, types.NIC, vm.id)
    reference = nic.inputs["ipConfigurations"][0]["subnet"]["id"]
    subnet = world.referred(reference, types.SUBNET, nic.id)
    network = IPv4Network(subnet.inputs["addressPrefix"])
    return Interface(
        subnet=subnet_key(subnet.id),
        address=f"{nic.facts['privateIPAddress']}/{network.prefixlen}",
        gateway=str(network[1]),
        mac=mac(nic.facts["macAddress"]),
    )


def _interfaces(vm: Resource) -> list[str]:
    """Ids of the NICs, the primary one first."""
    references = vm.inputs["networkProfile"]["networkInterfaces"]
    return [r["id"] for r in sorted(references, key=lambda r: not r.get("primary", False))]


def _attached(vm: Resource) -> set[tuple[int, str]]:
    return {(d["lun"], d["managedDisk"]["id"].lower()) for d in data_disks(vm.inputs)}


def _digest(inputs: Properties) -> str:
    data = known(inputs, "osProfile", "customData") or ""
    return hashlib.sha256(data.encode()).hexdigest()


def _os_disk_size(vm: Resource) -> Any:
    return known(vm.inputs, "storageProfile", "osDisk", "diskSizeGB")
