"""Network interfaces: addresses within a subnet, and belonging to one machine at a time."""

import hashlib
from ipaddress import IPv4Address, IPv4Network
from uuid import uuid4

from lab.azure import arm_types as types
from lab.azure.arm_id import ArmId, parse
from lab.azure.behave_network import refuse_shared_address
from lab.azure.behaviour import Behaviour, Properties, stay_in_place
from lab.azure.errors import AzureError, not_in_lab
from lab.azure.store import Resource
from lab.azure.world import World, reserved

# The first half of an address that Azure's own machines carry.
_VENDOR = "00-0D-3A"


class Interfaces(Behaviour):
    computed = ("etag", "resourceGuid", "macAddress", "ipConfigurations", "virtualMachine")

    def change(self, new: Resource, old: Resource, inputs: Properties) -> None:
        stay_in_place(new, old)

    def admit(self, world: World, new: Resource, old: Resource | None) -> None:
        configuration = new.inputs["ipConfigurations"][0]
        subnet = world.referred(configuration["subnet"]["id"], types.SUBNET, new.id)
        if reference := configuration.get("publicIPAddress"):
            address = world.referred(reference["id"], types.PUBLIC_IP, new.id)
            refuse_shared_address(world, address, new.id)
        wanted = configuration.get("privateIPAddress")
        if wanted is not None:
            _check_address(world, subnet, wanted, new.id)
        if old and world.owner_of(new.id):
            before = old.inputs["ipConfigurations"][0]
            moved = _subnet_of(old).key != _subnet_of(new).key
            if moved or before.get("privateIPAddress") != wanted:
                raise not_in_lab("give a running machine's NIC another private address")
            _switchable(world, new, old)

    def facts(
        self, world: World, new: Resource, old: Resource | None, inputs: Properties
    ) -> Properties:
        facts = dict(old.facts) if old else {"resourceGuid": str(uuid4())}
        facts["macAddress"] = _mac(facts["resourceGuid"])
        configuration = new.inputs["ipConfigurations"][0]
        stays = old is not None and _subnet_of(old).key == _subnet_of(new).key
        wanted = configuration.get("privateIPAddress")
        if wanted is not None:
            facts["privateIPAddress"] = wanted
        elif not stays:
            facts["privateIPAddress"] = _free_address(world, _subnet_of(new), new.id)
        return facts

    def outputs(self, world: World, resource: Resource) -> Properties:
        owner = world.owner_of(resource.id)
        configurations = [
            {
                "id": f"{resource.id}/ipConfigurations/{configuration['name']}",
                "etag": f'W/"{resource.facts["resourceGuid"]}"',
                "primary": True,
                "privateIPAddressVersion": "IPv4",
                "privateIPAllocationMethod": "Dynamic",
                "provisioningState": "Succeeded",
                **configuration,
                "privateIPAddress": resource.facts["privateIPAddress"],
            }
            for configuration in resource.inputs["ipConfigurations"]
        ]
        return {
            "etag": f'W/"{resource.facts["resourceGuid"]}"',
            "resourceGuid": resource.facts["resourceGuid"],
            # Azure assigns it when the NIC is attached for the first time.
            "macAddress": resource.facts["macAddress"] if owner else None,
            "ipConfigurations": configurations,
            "virtualMachine": {"id": str(owner.id)} if owner else None,
        }

    def may_delete(self, world: World, resource: Resource) -> None:
        if owner := world.owner_of(resource.id):
            raise AzureError(
                "NicInUse",
                f"Network Interface {resource.id} is used by existing resource {owner.id}. In "
                "order to delete the network interface, it must be dissociated from the "
                "resource. To learn more, see aka.ms/deletenic.",
            )


def _switchable(world: World, new: Resource, old: Resource) -> None:
    before, after = (bool(nic.inputs.get("enableAcceleratedNetworking")) for nic in (old, new))
    owner = world.owner_of(new.id)
    if before != after and owner and world.backend.machine_runs(owner.id.name):
        raise AzureError(
            "OperationNotAllowed",
            f"Accelerated networking of {new.id} cannot change while virtual machine {owner.id} "
            "runs. Please deallocate it and retry the operation.",
        )


def _subnet_of(nic: Resource) -> ArmId:
    return parse(nic.inputs["ipConfigurations"][0]["subnet"]["id"])


def _mac(guid: str) -> str:
    tail = hashlib.sha256(guid.encode()).hexdigest()[:6].upper()
    return "-".join((_VENDOR, tail[:2], tail[2:4], tail[4:]))


def _check_address(world: World, subnet: Resource, wanted: str, nic: ArmId) -> None:
    prefix = subnet.inputs["addressPrefix"]
    address = IPv4Address(wanted)
    if address not in IPv4Network(prefix):
        raise AzureError(
            "PrivateIPAddressNotInSubnet",
            f"Private static IP address {wanted} does not belong to the range of subnet prefix "
            f"{prefix}.",
        )
    if address in reserved(prefix):
        raise AzureError(
            "PrivateIPAddressInReservedRange",
            f"Private static IP address {wanted} falls within reserved IP range of subnet prefix "
            f"{prefix}.",
        )
    if user := world.taken_addresses(subnet.id, nic).get(wanted):
        name = user.inputs["ipConfigurations"][0]["name"]
        raise AzureError(
            "PrivateIPAddressIsAllocated",
            f"IP configuration {nic} is using the private IP address {wanted} which is already "
            f"allocated to resource {user.id}/ipConfigurations/{name}.",
        )


def _free_address(world: World, subnet: ArmId, nic: ArmId) -> str:
    prefix = world.referred(str(subnet), types.SUBNET, nic).inputs["addressPrefix"]
    taken = world.taken_addresses(subnet, nic)
    kept = reserved(prefix)
    for address in IPv4Network(prefix):
        if address not in kept and str(address) not in taken:
            return str(address)
    raise AzureError(
        "SubnetIsFull",
        f"Subnet {subnet.name} with address prefix {prefix} does not have enough capacity for 1 "
        "IP addresses.",
    )
