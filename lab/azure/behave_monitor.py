"""Action groups and alert rules: stored and judged. The lab has no Azure Monitor to run them."""

from lab.azure import arm_types as types
from lab.azure.behaviour import Behaviour
from lab.azure.store import Resource
from lab.azure.world import World


class ActionGroups(Behaviour):
    """Azure deletes one that rules still name; they then tell nobody."""


class MetricAlerts(Behaviour):
    def admit(self, world: World, new: Resource, old: Resource | None) -> None:
        _scopes(world, new)
        for action in new.inputs.get("actions") or ():
            world.referred(action["actionGroupId"], types.ACTION_GROUP, new.id)


class ActivityLogAlerts(Behaviour):
    def admit(self, world: World, new: Resource, old: Resource | None) -> None:
        _scopes(world, new)
        for group in new.inputs["actions"].get("actionGroups") or ():
            world.referred(group["actionGroupId"], types.ACTION_GROUP, new.id)


def _scopes(world: World, new: Resource) -> None:
    for scope in new.inputs["scopes"]:
        world.referred(scope, types.VM, new.id)
