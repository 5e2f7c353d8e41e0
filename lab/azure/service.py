"""Azure Resource Manager in small: put, get and delete, on one lab's store.

The store is locked while a request is judged and while the network changes, not while a machine
boots: two machines come up side by side.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from lab.azure import arm_types as types
from lab.azure import maker, topology
from lab.azure.arm_id import ArmId, parse
from lab.azure.backend import Backend
from lab.azure.behave_locks import refuse_locked
from lab.azure.behaviour import normal_location
from lab.azure.errors import AzureError
from lab.azure.kinds import BY_TYPE, Kind
from lab.azure.store import Resource, Store
from lab.azure.world import World
from lab.rpc.values import without

Properties = dict[str, Any]
Say = Callable[[str], None]


class Azure:
    """The resources of one lab."""

    def __init__(self, store: Store, backend: Backend) -> None:
        self._world = World(store, backend)

    def create(self, kind: Kind, urn: str, inputs: Properties, location: str, say: Say) -> Resource:
        """Make a resource of plain inputs. `location` holds where the inputs name none.

        One that the same URN has made already is taken over: the engine was cut off before it
        could write down that it exists. Raises AzureError; then nothing is left behind.
        """
        self._world.backend.require()
        identity = kind.identity(inputs)
        with self._world.store.locked():
            self._clear_leftovers()
            old = self._world.store.get(identity)
            if old is not None and old.urn != urn:
                raise AzureError(
                    "Conflict", f"cannot create already existing resource '{identity}'"
                )
            where = self._location(identity, inputs, location)
            new = Resource(identity, urn, where, _kept(kind, inputs))
            if old is not None and kind.behaviour.disposable and _misfit(kind, new, old, inputs):
                kind.behaviour.remove(self._world, old)
                self._world.store.drop(identity)
                old = None
            new = self._admit(kind, new, old, inputs)
        return self._realise(kind, new, old, inputs, say)

    def update(self, kind: Kind, identity: ArmId, inputs: Properties, say: Say) -> Resource:
        """Change a resource in place. Raises AzureError; then it is as it was."""
        self._world.backend.require()
        with self._world.store.locked():
            self._clear_leftovers()
            old = self._existing(identity)
            new = replace(old, inputs=_kept(kind, inputs))
            if "location" in inputs:
                new = replace(new, location=normal_location(inputs["location"]))
            new = self._admit(kind, new, old, inputs)
        return self._realise(kind, new, old, inputs, say)

    def judge(self, kind: Kind, identity: ArmId, inputs: Properties) -> None:
        """Raise AzureError if the update is refused whatever else happens; changes nothing."""
        old = self._world.store.get(identity)
        if old is not None:
            where = normal_location(inputs.get("location", old.location))
            new = replace(old, inputs=_kept(kind, inputs), location=where)
            kind.behaviour.change(new, old, inputs)

    def get(self, kind: Kind, identity: ArmId) -> Resource | None:
        """The resource, if it and what stands behind it exist."""
        found = self._world.store.get(identity)
        return found if found and self._exists(found) else None

    def drift(self, kind: Kind, resource: Resource) -> Properties:
        """Inputs that have changed behind Azure's back, as they are now."""
        return kind.behaviour.drift(self._world, resource)

    def outputs(self, kind: Kind, resource: Resource) -> Properties:
        """The computed outputs of a resource."""
        shown = {"name": resource.id.name, "type": resource.id.full_type, **kind.state}
        if kind.has_location:
            shown["location"] = resource.location
        return {**shown, **kind.behaviour.outputs(self._world, resource)}

    def delete(self, kind: Kind, identity: ArmId) -> None:
        """Delete the resource and what goes with it; fine when it is gone. Raises AzureError."""
        self._world.backend.require()
        with self._world.store.locked():
            self._clear_leftovers()
            found = self._world.store.get(identity)
            if found is None:
                return
            refuse_locked(self._world, found.id)
            kind.behaviour.may_delete(self._world, found)
            if kind.arm_type == types.GROUP:
                self._empty(found.id)
            along = [parse(text) for text in kind.behaviour.goes_with(found)]
        # Outside the lock: shutting a machine down takes its time.
        kind.behaviour.remove(self._world, found)
        with self._world.store.locked():
            before = self._network()
            self._world.store.drop(identity)
            for other in along:
                self._drop(other)
            try:
                self._apply(before)
            except AzureError:
                self._world.store.put(found)
                raise

    def _admit(
        self, kind: Kind, new: Resource, old: Resource | None, inputs: Properties
    ) -> Resource:
        if old is not None:
            kind.behaviour.change(new, old, inputs)
        kind.behaviour.admit(self._world, new, old)
        new = replace(new, facts=kind.behaviour.facts(self._world, new, old, inputs))
        if old is None and kind.behaviour.real:
            new = replace(new, maker=maker.me())
        before = self._network()
        self._world.store.put(new)
        try:
            self._apply(before)
        except BaseException:
            self._restore(new, old)
            raise
        return new

    def _realise(
        self, kind: Kind, new: Resource, old: Resource | None, inputs: Properties, say: Say
    ) -> Resource:
        try:
            kind.behaviour.realise(self._world, new, old, inputs, say)
        except BaseException:
            if old is None:
                with suppress(AzureError):
                    kind.behaviour.remove(self._world, new)
            with self._world.store.locked():
                self._restore(new, old)
            raise
        done = replace(new, maker="")
        with self._world.store.locked():
            self._world.store.put(done)
        return done

    def _restore(self, new: Resource, old: Resource | None) -> None:
        if old is None:
            self._world.store.drop(new.id)
        else:
            self._world.store.put(old)

    def _network(self) -> Any:
        return topology.build(self._world.store.all())

    def _apply(self, before: Any) -> None:
        after = self._network()
        if after != before:
            self._world.backend.apply(after)

    def _existing(self, identity: ArmId) -> Resource:
        found = self._world.store.get(identity)
        if found is None:
            raise AzureError(
                "ResourceNotFound",
                f"The Resource '{identity.full_type}/{identity.name}' under resource group "
                f"'{identity.group}' was not found. For more details please go to "
                "https://aka.ms/ARMResourceNotFoundFix",
            )
        return found

    def _location(self, identity: ArmId, inputs: Properties, default: str) -> str:
        """Where a new resource goes; checks that its group exists."""
        if not identity.type:
            return normal_location(inputs["location"])
        group = self._world.store.get(ArmId(identity.group, "", ()))
        if group is None:
            raise AzureError(
                "ResourceGroupNotFound", f"Resource group '{identity.group}' could not be found."
            )
        return normal_location(inputs.get("location") or default or group.location)

    def _clear_leftovers(self) -> None:
        """Forget what is not there any more, and remove what was being made by a dead process."""
        for found in self._world.store.all():
            behaviour = BY_TYPE[found.id.type].behaviour
            if found.maker:
                if not maker.alive(found.maker):
                    behaviour.remove(self._world, found)
                    self._world.store.drop(found.id)
            elif not self._exists(found):
                self._world.store.drop(found.id)

    def _exists(self, found: Resource) -> bool:
        """Whether what stands behind the resource, and what it lies on, is still there."""
        if found.id.scope is not None:
            below = self._world.store.get(found.id.scope)
            return below is not None and self._exists(below)
        return BY_TYPE[found.id.type].behaviour.exists(self._world, found)

    def _empty(self, group: ArmId) -> None:
        for type_ in types.DELETION_ORDER:
            for found in self._world.store.all(type_):
                if found.id.group.lower() == group.group.lower():
                    self._drop(found.id)

    def _drop(self, identity: ArmId) -> None:
        found = self._world.store.get(identity)
        if found is not None:
            BY_TYPE[found.id.type].behaviour.remove(self._world, found)
            self._world.store.drop(identity)


def _kept(kind: Kind, inputs: Properties) -> Properties:
    """What the store remembers of plain inputs."""
    path = kind.behaviour.write_only
    return without(inputs, *path) if path else inputs


def _misfit(kind: Kind, new: Resource, old: Resource, inputs: Properties) -> bool:
    try:
        kind.behaviour.change(new, old, inputs)
    except AzureError:
        return True
    return False
