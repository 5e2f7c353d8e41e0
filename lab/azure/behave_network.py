"""Virtual networks, subnets, security groups, public addresses and NAT gateways."""

from ipaddress import IPv4Network
from uuid import uuid4

from lab.azure import arm_types as types
from lab.azure.arm_id import ArmId
from lab.azure.behaviour import Behaviour, Properties, stay_in_place, zones
from lab.azure.errors import AzureError, property_change
from lab.azure.store import Resource
from lab.azure.world import World


class _Network(Behaviour):
    computed = ("etag", "resourceGuid")

    def change(self, new: Resource, old: Resource, inputs: Properties) -> None:
        stay_in_place(new, old)
        _stay_in_zone(new, old)

    def facts(
        self, world: World, new: Resource, old: Resource | None, inputs: Properties
    ) -> Properties:
        return old.facts if old else {"resourceGuid": str(uuid4())}

    def outputs(self, world: World, resource: Resource) -> Properties:
        return {
            "etag": f'W/"{resource.facts["resourceGuid"]}"',
            "resourceGuid": resource.facts["resourceGuid"],
        }


class VirtualNetworks(_Network):
    def admit(self, world: World, new: Resource, old: Resource | None) -> None:
        prefixes = new.inputs["addressSpace"]["addressPrefixes"]
        for subnet in _subnets_of(world, new.id):
            _must_contain(prefixes, subnet.inputs["addressPrefix"], subnet.id)

    def may_delete(self, world: World, resource: Resource) -> None:
        for subnet in _subnets_of(world, resource.id):
            Subnets().may_delete(world, subnet)


class Subnets(Behaviour):
    computed = ("etag",)

    def admit(self, world: World, new: Resource, old: Resource | None) -> None:
        network = world.referred(str(new.id.parent), types.VNET, new.id)
        mine = IPv4Network(new.inputs["addressPrefix"])
        _must_contain(network.inputs["addressSpace"]["addressPrefixes"], str(mine), new.id)
        for other in _subnets_of(world, network.id):
            if other.id.key != new.id.key and mine.overlaps(
                IPv4Network(other.inputs["addressPrefix"])
            ):
                raise AzureError(
                    "NetcfgSubnetRangesOverlap",
                    f"Subnet '{new.id.name}' is not valid because its IP address range overlaps "
                    f"with that of an existing subnet in virtual network '{network.id.name}'.",
                )
        for name, type_ in (("networkSecurityGroup", types.NSG), ("natGateway", types.NAT)):
            if reference := new.inputs.get(name):
                world.referred(reference["id"], type_, new.id)
        used = world.referring(new.id, types.NIC)
        if old and used and old.inputs["addressPrefix"] != new.inputs["addressPrefix"]:
            raise AzureError(
                "InUsePrefixCannotBeDeleted",
                f"IpPrefix {old.inputs['addressPrefix']} on Subnet {new.id.name} has active "
                "allocations and cannot be deleted.",
            )

    def facts(
        self, world: World, new: Resource, old: Resource | None, inputs: Properties
    ) -> Properties:
        return old.facts if old else {"etag": f'W/"{uuid4()}"'}

    def outputs(self, world: World, resource: Resource) -> Properties:
        return {"etag": resource.facts["etag"]}

    def may_delete(self, world: World, resource: Resource) -> None:
        for nic in world.referring(resource.id, types.NIC):
            raise AzureError(
                "InUseSubnetCannotBeDeleted",
                f"Subnet {resource.id.name} is in use by {_configuration_id(nic)} and cannot be "
                "deleted. In order to delete the subnet, delete all the resources within the "
                "subnet. See aka.ms/deletesubnet.",
            )


class SecurityGroups(_Network):
    def may_delete(self, world: World, resource: Resource) -> None:
        if users := world.referring(resource.id, types.SUBNET):
            raise AzureError(
                "InUseNetworkSecurityGroupCannotBeDeleted",
                f"Network security group {resource.id} cannot be deleted because it is in use by "
                f"the following resources: {', '.join(str(u.id) for u in users)}. In order to "
                "delete the Network security group, remove the association with the resource(s). "
                "To learn how to do this, see aka.ms/deletensg.",
            )


class PublicAddresses(_Network):
    computed = ("etag", "resourceGuid", "ipAddress")

    def change(self, new: Resource, old: Resource, inputs: Properties) -> None:
        super().change(new, old, inputs)
        if new.inputs["publicIPAllocationMethod"] != old.inputs["publicIPAllocationMethod"]:
            raise property_change("publicIPAllocationMethod")

    def facts(
        self, world: World, new: Resource, old: Resource | None, inputs: Properties
    ) -> Properties:
        if old:
            return old.facts
        taken = {other.facts["ipAddress"] for other in world.store.all(types.PUBLIC_IP)}
        free = (a for a in world.backend.public_addresses() if a not in taken)
        address = next(free, None)
        if address is None:
            raise AzureError(
                "PublicIPCountLimitReached",
                f"Cannot create more than {len(taken)} public IP addresses for this subscription "
                "in this region.",
            )
        return {**super().facts(world, new, old, inputs), "ipAddress": address}

    def outputs(self, world: World, resource: Resource) -> Properties:
        return {**super().outputs(world, resource), "ipAddress": resource.facts["ipAddress"]}

    def may_delete(self, world: World, resource: Resource) -> None:
        nics = [_configuration_id(nic) for nic in world.referring(resource.id, types.NIC)]
        gateways = [str(gateway.id) for gateway in world.referring(resource.id, types.NAT)]
        for user in nics + gateways:
            raise AzureError(
                "PublicIPAddressCannotBeDeleted",
                f"Public IP address {resource.id} can not be deleted since it is still allocated "
                f"to resource {user}. In order to delete the public IP, disassociate/detach the "
                "Public IP address from the resource. To learn how to do this, see "
                "aka.ms/deletepublicip.",
            )


class NatGateways(_Network):
    def admit(self, world: World, new: Resource, old: Resource | None) -> None:
        for reference in new.inputs.get("publicIpAddresses") or ():
            address = world.referred(reference["id"], types.PUBLIC_IP, new.id)
            refuse_shared_address(world, address, new.id)
            if zones(new) and not set(zones(new)) <= set(zones(address)):
                raise AzureError(
                    "NatGatewayAndPublicIpZoneMismatch",
                    f"NAT gateway {new.id} in zone {', '.join(zones(new))} cannot use public IP "
                    f"address {address.id}, which is not.",
                )

    def may_delete(self, world: World, resource: Resource) -> None:
        if users := world.referring(resource.id, types.SUBNET):
            raise AzureError(
                "InUseNatGatewayCannotBeDeleted",
                f"Nat gateway {resource.id} cannot be deleted because it is in use by the "
                f"following subnets: {', '.join(str(u.id) for u in users)}.",
            )


def _stay_in_zone(new: Resource, old: Resource) -> None:
    if zones(new) != zones(old):
        before, after = (", ".join(zones(each)) or "NoZone" for each in (old, new))
        raise AzureError(
            "ResourceAvailabilityZonesCannotBeModified",
            f"Resource {new.id} has an existing availability zone constraint {before} and the "
            f"request has availability zone constraint {after}, which do not match. Zones cannot "
            "be added/updated/removed once the resource is created. The resource cannot be updated "
            "from regional to zonal or vice-versa.",
        )


def refuse_shared_address(world: World, address: Resource, user: ArmId) -> None:
    """Raise AzureError if a public address already belongs to somebody other than `user`."""
    users = world.referring(address.id, types.NIC) + world.referring(address.id, types.NAT)
    for other in users:
        if other.id.key != user.key:
            raise AzureError(
                "PublicIPAddressInUse",
                f"Resource {user} is referencing public IP address {address.id} that is already "
                f"allocated to resource {other.id}.",
            )


def _configuration_id(nic: Resource) -> str:
    return f"{nic.id}/ipConfigurations/{nic.inputs['ipConfigurations'][0]['name']}"


def _subnets_of(world: World, network: ArmId) -> list[Resource]:
    return [s for s in world.store.all(types.SUBNET) if s.id.parent.key == network.key]


def _must_contain(prefixes: list[str], subnet: str, identity: ArmId) -> None:
    inner = IPv4Network(subnet)
    if not any(inner.subnet_of(IPv4Network(prefix)) for prefix in prefixes):
        raise AzureError(
            "NetcfgInvalidSubnet",
            f"Subnet '{identity.name}' is not valid in virtual network '{identity.names[0]}'.",
        )
