"""The azure-native provider: the engine's questions put to a lab's Azure."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lab.azure.arm_id import parse
from lab.azure.behaviour import same_location
from lab.azure.kinds import KINDS, Kind
from lab.azure.service import Azure
from lab.azure.validate import structure
from lab.rpc.diff import Diff, compare
from lab.rpc.provider import Call, Failure, ProviderError
from lab.rpc.values import UNKNOWN, Secret, has_unknown, plain, without, without_nulls

Values = dict[str, Any]


class AzureProvider:
    """Answers for the types in KINDS. `open_azure` gives the Azure of a stack."""

    def __init__(self, open_azure: Callable[[str], Azure]) -> None:
        self._open = open_azure
        self._known: dict[str, Azure] = {}
        self._lock = threading.Lock()
        self._location = ""

    def configure(self, variables: Values) -> None:
        location = plain(variables.get("location"))
        self._location = location if isinstance(location, str) else ""

    def check(self, call: Call, olds: Values, news: Values) -> tuple[Values, list[Failure]]:
        kind = _kind(call)
        inputs = without_nulls(news)
        bare = plain(inputs)
        failures = structure(kind.model, bare) or list(kind.rules(bare))
        return inputs, failures

    def diff(self, call: Call, state: Values, inputs: Values, news: Values) -> Diff:
        kind = _kind(call)
        old, new = plain(inputs), plain(news)
        if _same_place(old.get("location"), new.get("location")):
            old["location"] = new["location"]
        found = compare(old, new, kind.replaced_by)
        # Two resources of one name cannot be there at a time.
        replaced = any(change.replace for change in found.changes.values())
        return replace(found, delete_before_replace=replaced)

    def create(self, call: Call, inputs: Values) -> tuple[str, Values]:
        kind = _kind(call)
        if call.preview:
            return "", _planned(kind, inputs)
        azure = self._azure(call)
        made = azure.create(kind, call.urn, plain(inputs), self._location, call.log.status)
        return str(made.id), _outputs(kind, inputs, azure.outputs(kind, made))

    def read(
        self, call: Call, resource_id: str, state: Values, inputs: Values
    ) -> tuple[Values, Values] | None:
        kind = _kind(call)
        azure = self._azure(call)
        found = azure.get(kind, parse(resource_id))
        if found is None:
            return None
        current = {**inputs, **azure.drift(kind, found)} if inputs else found.inputs
        return _outputs(kind, current, azure.outputs(kind, found)), current

    def update(
        self, call: Call, resource_id: str, state: Values, inputs: Values, news: Values
    ) -> Values:
        kind = _kind(call)
        azure = self._azure(call)
        identity = parse(resource_id)
        if call.preview:
            if not has_unknown(news):
                azure.judge(kind, identity, plain(news))
            kept = {name: state[name] for name in _made_up(kind) if name in state}
            return _outputs(kind, news, kept)
        made = azure.update(kind, identity, plain(news), call.log.status)
        return _outputs(kind, news, azure.outputs(kind, made))

    def delete(self, call: Call, resource_id: str, state: Values) -> None:
        self._azure(call).delete(_kind(call), parse(resource_id))

    def _azure(self, call: Call) -> Azure:
        with self._lock:
            return self._known.setdefault(call.stack, self._open(call.stack))


def _kind(call: Call) -> Kind:
    kind = KINDS.get(call.type)
    if kind is None:
        raise ProviderError(f"The lab has no {call.type}. It provides: {', '.join(sorted(KINDS))}.")
    return kind


def _same_place(one: Any, other: Any) -> bool:
    return isinstance(one, str) and isinstance(other, str) and same_location(one, other)


def _made_up(kind: Kind) -> tuple[str, ...]:
    return ("name", "type", *kind.state, *kind.behaviour.computed)


def _planned(kind: Kind, inputs: Values) -> Values:
    return _outputs(kind, inputs, dict.fromkeys(_made_up(kind), UNKNOWN))


def _outputs(kind: Kind, inputs: Values, computed: Values) -> Values:
    """Outputs of a resource: its inputs, secret where they are, and what Azure adds."""
    shown = without(inputs, *kind.behaviour.write_only) if kind.behaviour.write_only else inputs
    sealed = {
        name: Secret(value) if isinstance(inputs.get(name), Secret) else value
        for name, value in computed.items()
    }
    return {**shown, **sealed}
