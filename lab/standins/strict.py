"""A provider in which each type has one handler, and refuses inputs its handler does not know."""

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from lab.azure.validate import structure
from lab.rpc.diff import Diff
from lab.rpc.provider import Call, Failure, ProviderError
from lab.rpc.values import plain, without_nulls

Values = dict[str, Any]


class Inputs(BaseModel):
    """Inputs of a resource: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)


class Handler(Protocol):
    """One resource type. `inputs` come with defaults filled in and secrets marked."""

    @property
    def model(self) -> type[Inputs]: ...

    def settle(self, inputs: Values) -> tuple[Values, list[Failure]]:
        """Fill in defaults and mark secrets; name what the model cannot see."""
        ...

    def diff(self, state: Values, news: Values) -> Diff: ...

    def create(self, call: Call, inputs: Values) -> tuple[str, Values]: ...

    def update(self, call: Call, state: Values, news: Values) -> Values: ...

    def delete(self, call: Call, state: Values) -> None: ...


class StandIn:
    """The provider made of handlers, keyed by type token."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    def configure(self, variables: Values) -> None:
        """These providers take no configuration."""

    def check(self, call: Call, olds: Values, news: Values) -> tuple[Values, list[Failure]]:
        handler = self._handler(call)
        inputs = without_nulls(news)
        if failures := structure(handler.model, plain(inputs)):
            return inputs, failures
        return handler.settle(inputs)

    def diff(self, call: Call, state: Values, inputs: Values, news: Values) -> Diff:
        return self._handler(call).diff(state, news)

    def create(self, call: Call, inputs: Values) -> tuple[str, Values]:
        return self._handler(call).create(call, inputs)

    def read(
        self, call: Call, resource_id: str, state: Values, inputs: Values
    ) -> tuple[Values, Values]:
        return state, inputs

    def update(
        self, call: Call, resource_id: str, state: Values, inputs: Values, news: Values
    ) -> Values:
        return self._handler(call).update(call, state, news)

    def delete(self, call: Call, resource_id: str, state: Values) -> None:
        self._handler(call).delete(call, state)

    def _handler(self, call: Call) -> Handler:
        handler = self._handlers.get(call.type)
        if handler is None:
            raise ProviderError(
                f"The stand-in plugin has no {call.type}, only {', '.join(self._handlers)}. "
                f"The official plugin has: pulumi plugin install resource {call.type.split(':')[0]}"
            )
        return handler
