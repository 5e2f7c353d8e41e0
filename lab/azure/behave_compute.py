"""Resource groups and managed disks."""

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import uuid4

from lab.azure import arm_types as types
from lab.azure.behaviour import Behaviour, Properties, zones
from lab.azure.errors import AzureError, property_change
from lab.azure.store import Resource
from lab.azure.world import World

# A disk grows while its VM runs, but not from below this size to it or beyond.
_ONLINE_LIMIT_GIB = 4096


class Groups(Behaviour):
    """What a group holds goes with it; that is the service's part."""


class Disks(Behaviour):
    computed = ("uniqueId", "timeCreated", "diskState", "diskSizeBytes", "managedBy")
    real = True

    def change(self, new: Resource, old: Resource, inputs: Properties) -> None:
        if new.inputs["creationData"] != old.inputs["creationData"]:
            raise property_change("creationData.createOption")
        if zones(new) != zones(old):
            raise AzureError(
                "BadRequest",
                f"Availability zone must not be changed on existing resource '{new.id.name}'.",
            )

    def admit(self, world: World, new: Resource, old: Resource | None) -> None:
        if old is not None:
            _resizable(new, old)
            owner = world.owner_of(new.id)
            if owner is not None and world.backend.machine_runs(owner.id.name):
                _changeable_online(new, old, owner)
        for other in world.store.all(types.DISK):
            _one_group(new, other)

    def facts(
        self, world: World, new: Resource, old: Resource | None, inputs: Properties
    ) -> Properties:
        return old.facts if old else {"uniqueId": str(uuid4()), "timeCreated": now()}

    def outputs(self, world: World, resource: Resource) -> Properties:
        owner = world.owner_of(resource.id)
        return {
            "uniqueId": resource.facts["uniqueId"],
            "timeCreated": resource.facts["timeCreated"],
            "diskState": "Attached" if owner else "Unattached",
            "diskSizeBytes": resource.inputs["diskSizeGB"] << 30,
            "managedBy": str(owner.id) if owner else None,
        }

    def may_delete(self, world: World, resource: Resource) -> None:
        if owner := world.owner_of(resource.id):
            raise AzureError(
                "OperationNotAllowed", f"Disk {resource.id.name} is attached to VM {owner.id}."
            )

    def realise(
        self,
        world: World,
        new: Resource,
        old: Resource | None,
        inputs: Properties,
        say: Callable[[str], None],
    ) -> None:
        name, size = new.id.name, new.inputs["diskSizeGB"]
        if old is None:
            world.backend.create_disk(name, size)
        elif size > old.inputs["diskSizeGB"]:
            world.backend.grow_disk(name, size)

    def remove(self, world: World, resource: Resource) -> None:
        world.backend.delete_disk(resource.id.name)

    def exists(self, world: World, resource: Resource) -> bool:
        return world.backend.disk_size(resource.id.name) is not None

    def drift(self, world: World, resource: Resource) -> Properties:
        size = world.backend.disk_size(resource.id.name)
        return {} if size in (None, resource.inputs["diskSizeGB"]) else {"diskSizeGB": size}


def now() -> str:
    """The time as Azure writes it."""
    return datetime.now(UTC).isoformat()


def _resizable(new: Resource, old: Resource) -> None:
    before, after = old.inputs["diskSizeGB"], new.inputs["diskSizeGB"]
    if after < before:
        raise AzureError(
            "ResizeDiskError",
            f"Disk size reduction is not supported. Current size is {before << 30} bytes, "
            f"requested size is {after << 30} bytes.",
            target="disk.diskSizeGB",
        )


def _changeable_online(new: Resource, old: Resource, owner: Resource) -> None:
    if new.inputs.get("sku") != old.inputs.get("sku"):
        raise AzureError(
            "OperationNotAllowed",
            "Disks can be resized or account type changed only when they are unattached or "
            f"the owner VM is deallocated. Disk {new.id.name} is attached to VM {owner.id}.",
        )
    if old.inputs["diskSizeGB"] < _ONLINE_LIMIT_GIB <= new.inputs["diskSizeGB"]:
        raise AzureError(
            "OperationNotAllowed",
            f"Cannot resize disk {new.id.name} while it is attached to running VM {owner.id}. "
            "Resizing a disk of an Azure Virtual Machine requires the virtual machine to be "
            "deallocated. Please stop your VM and retry the operation.",
        )


def _one_group(new: Resource, other: Resource) -> None:
    # Disks and machines carry their bare name on the host.
    if other.id.name.lower() == new.id.name.lower() and other.id.key != new.id.key:
        raise AzureError(
            "NotSupportedByLab",
            f"{other.id} exists: in the lab a name is used once, whatever its resource group.",
        )
