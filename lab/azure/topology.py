"""From Azure's resources to the network the fabric shall make of them. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from lab.azure import arm_types as types
from lab.azure.arm_id import ArmId, parse
from lab.azure.store import Resource
from lab.net.topology import Nic, SecurityRule, Subnet, Topology, VirtualNetwork

_ANY = ("*",)


def build(resources: Iterable[Resource]) -> Topology:
    """The whole network of a lab. Raises ValueError where resources contradict each other."""
    by_key = {resource.id.key: resource for resource in resources}
    of = {t: [r for r in by_key.values() if r.id.type == t] for t in types.NETWORKS}
    return Topology(
        networks=tuple(
            VirtualNetwork(r.id.name, tuple(r.inputs["addressSpace"]["addressPrefixes"]))
            for r in of[types.VNET]
        ),
        subnets=tuple(_subnet(r, by_key) for r in of[types.SUBNET]),
        nics=tuple(_nic(r, by_key) for r in of[types.NIC]),
    )


def subnet_key(identity: ArmId) -> str:
    """How the lab's machines and network name a subnet."""
    return "/".join(identity.names)


def mac(azure_form: str) -> str:
    """Azure writes 00-0D-3A-…, Linux 00:0d:3a:…"""
    return azure_form.replace("-", ":").lower()


def _referred(by_key: Mapping[str, Resource], reference: Any) -> Resource | None:
    return by_key.get(parse(reference["id"]).key) if reference else None


def _subnet(resource: Resource, by_key: Mapping[str, Resource]) -> Subnet:
    inputs = resource.inputs
    group = _referred(by_key, inputs.get("networkSecurityGroup"))
    gateway = _referred(by_key, inputs.get("natGateway"))
    outward = gateway.inputs.get("publicIpAddresses") if gateway else None
    address = _referred(by_key, outward[0]) if outward else None
    return Subnet(
        name=resource.id.name,
        vnet=resource.id.names[0],
        prefix=inputs["addressPrefix"],
        security_rules=_rules(group) if group else None,
        nat_address=address.facts["ipAddress"] if address else None,
        default_outbound=inputs.get("defaultOutboundAccess", True),
    )


def _rules(group: Resource) -> tuple[SecurityRule, ...]:
    return tuple(_rule(rule) for rule in group.inputs.get("securityRules") or ())


def _rule(rule: Mapping[str, Any]) -> SecurityRule:
    def either(one: str, many: str) -> tuple[str, ...]:
        return (rule[one],) if rule.get(one) else tuple(rule.get(many) or _ANY)

    return SecurityRule(
        name=rule["name"],
        priority=rule["priority"],
        direction=rule["direction"],
        access=rule["access"],
        protocol=rule["protocol"],
        sources=either("sourceAddressPrefix", "sourceAddressPrefixes"),
        source_ports=either("sourcePortRange", "sourcePortRanges"),
        destinations=either("destinationAddressPrefix", "destinationAddressPrefixes"),
        destination_ports=either("destinationPortRange", "destinationPortRanges"),
    )


def _nic(resource: Resource, by_key: Mapping[str, Resource]) -> Nic:
    configuration = resource.inputs["ipConfigurations"][0]
    public = _referred(by_key, configuration.get("publicIPAddress"))
    return Nic(
        name=resource.id.name,
        subnet=subnet_key(parse(configuration["subnet"]["id"])),
        address=resource.facts["privateIPAddress"],
        mac=mac(resource.facts["macAddress"]),
        public_address=public.facts["ipAddress"] if public else None,
    )
