"""Management locks, and what they keep from being deleted."""

from lab.azure import arm_types as types
from lab.azure.arm_id import ArmId
from lab.azure.behaviour import Behaviour
from lab.azure.errors import AzureError
from lab.azure.store import Resource
from lab.azure.world import World


class Locks(Behaviour):
    def admit(self, world: World, new: Resource, old: Resource | None) -> None:
        scope = new.id.scope
        if scope is None or world.store.get(scope) is None:
            raise AzureError("ResourceNotFound", f"The Resource '{scope}' was not found.")


def refuse_locked(world: World, identity: ArmId) -> None:
    """Raise AzureError if a lock lies on the resource, on its group or in the group itself."""
    if identity.scope is not None:
        return
    locked = [
        str(lock.id.scope)
        for lock in world.store.all(types.LOCK)
        if lock.id.scope and _covers(lock.id.scope, identity)
    ]
    if locked:
        raise AzureError(
            "ScopeLocked",
            f"The scope '{identity}' cannot perform delete operation because following scope(s) "
            f"are locked: '{', '.join(locked)}'. Please remove the lock and try again.",
        )


def _covers(scope: ArmId, identity: ArmId) -> bool:
    if not scope.type or not identity.type:
        return scope.group.lower() == identity.group.lower()
    return scope.key == identity.key
