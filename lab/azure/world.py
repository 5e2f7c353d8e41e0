"""What the other resources of the lab are, as state checks want to ask it."""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from lab.azure import arm_types as types
from lab.azure.arm_id import ArmId, parse
from lab.azure.backend import Backend
from lab.azure.errors import AzureError
from lab.azure.store import Resource, Store

# Azure keeps the first four addresses of a subnet and its last one.
_RESERVED_LOW = 4


@dataclass(frozen=True)
class World:
    """A view of the store, and of what really exists behind it."""

    store: Store
    backend: Backend

    def referred(self, text: str, type_: str, by: ArmId) -> Resource:
        """The resource an id names. Raises AzureError unless it exists and is of the type."""
        identity = parse(text)
        found = self.store.get(identity)
        if identity.type.lower() != type_.lower() or found is None:
            raise AzureError(
                "InvalidResourceReference",
                f"Resource {text} referenced by resource {by} was not found. Please make sure "
                "that the referenced resource exists, and that both resources are in the same "
                "region.",
            )
        return found

    def owner_of(self, identity: ArmId) -> Resource | None:
        """The VM that a NIC or a disk is attached to."""
        for machine in self.store.all(types.VM):
            if identity.key in {parse(text).key for text in attachments(machine.inputs)}:
                return machine
        return None

    def referring(self, identity: ArmId, type_: str) -> list[Resource]:
        """The resources of one type whose inputs name `identity` anywhere."""
        return [r for r in self.store.all(type_) if identity.key in set(_ids(r.inputs))]

    def taken_addresses(self, subnet: ArmId, but: ArmId) -> dict[str, Resource]:
        """Private addresses in use in a subnet, other than by the NIC `but`."""
        return {
            nic.facts["privateIPAddress"]: nic
            for nic in self.referring(subnet, types.NIC)
            if nic.id.key != but.key
        }


def attachments(inputs: dict[str, Any]) -> Iterator[str]:
    """The ids of the NICs and data disks of a VM."""
    for interface in inputs["networkProfile"]["networkInterfaces"]:
        yield interface["id"]
    for disk in data_disks(inputs):
        yield disk["managedDisk"]["id"]


def data_disks(inputs: dict[str, Any]) -> list[dict[str, Any]]:
    """The data disks of a VM's inputs."""
    return inputs["storageProfile"].get("dataDisks") or []


def reserved(prefix: str) -> set[IPv4Address]:
    """The five addresses of a subnet that Azure keeps for itself."""
    network = IPv4Network(prefix)
    return {*(network[i] for i in range(_RESERVED_LOW)), network[-1]}


def _ids(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("id"), str):
            yield value["id"].lower()
        for item in value.values():
            yield from _ids(item)
    elif isinstance(value, list):
        for item in value:
            yield from _ids(item)
