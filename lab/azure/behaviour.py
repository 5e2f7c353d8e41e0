"""What a type of resource does beyond being stored; the defaults do nothing."""

from collections.abc import Callable
from typing import Any

from lab.azure.errors import AzureError
from lab.azure.store import Resource
from lab.azure.world import World

Properties = dict[str, Any]


class Behaviour:
    """One type's part in creating, changing and deleting. Methods raise AzureError to refuse."""

    # Outputs that Azure makes up: unknown until the resource exists.
    computed: tuple[str, ...] = ()
    # Inputs that Azure takes and never gives back, as a path.
    write_only: tuple[str, ...] | None = None
    # Whether something real stands behind the resource, which takes time to make.
    real = False
    # Whether a leftover of an interrupted creation may be thrown away when it does not fit.
    disposable = False

    def change(self, new: Resource, old: Resource, inputs: Properties) -> None:
        """Refuse changes that Azure refuses; looks at nothing but the resource itself."""

    def admit(self, world: World, new: Resource, old: Resource | None) -> None:
        """Refuse what the other resources do not allow."""

    def facts(
        self, world: World, new: Resource, old: Resource | None, inputs: Properties
    ) -> Properties:
        """What Azure makes up for this resource; stable for as long as it exists."""
        return old.facts if old else {}

    def outputs(self, world: World, resource: Resource) -> Properties:
        """The computed outputs as they are now, over and above the inputs."""
        return {}

    def may_delete(self, world: World, resource: Resource) -> None:
        """Refuse while somebody uses the resource."""

    def realise(
        self,
        world: World,
        new: Resource,
        old: Resource | None,
        inputs: Properties,
        say: Callable[[str], None],
    ) -> None:
        """Make or change what stands behind the resource; `say` tells of what takes time."""

    def goes_with(self, resource: Resource) -> list[str]:
        """Ids of what Azure deletes together with this resource."""
        return []

    def remove(self, world: World, resource: Resource) -> None:
        """Remove what stands behind the resource; fine when it is gone already."""

    def exists(self, world: World, resource: Resource) -> bool:
        """Whether what stands behind the resource is still there."""
        return True

    def drift(self, world: World, resource: Resource) -> Properties:
        """Inputs whose value has changed behind Azure's back, as they are now."""
        return {}


def same_location(one: str, other: str) -> bool:
    """`West Europe` and `westeurope` are one place."""
    return normal_location(one) == normal_location(other)


def normal_location(location: str) -> str:
    return location.replace(" ", "").lower()


def zones(resource: Resource) -> list[str]:
    """The availability zones that a resource was put into; none if Azure chose."""
    return resource.inputs.get("zones") or []


def stay_in_place(new: Resource, old: Resource) -> None:
    """Refuse a changed location where azure-native does not replace the resource for it."""
    if not same_location(new.location, old.location):
        raise AzureError(
            "InvalidResourceLocation",
            f"The resource '{new.id.name}' already exists in location '{old.location}' in "
            f"resource group '{new.id.group}'. A resource with the same name cannot be created "
            f"in location '{new.location}'. Please select a new resource name.",
        )
