"""What a plugin implements, free of gRPC: the shape of a provider and of the calls it gets."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from lab.rpc.diff import Diff


class ProviderError(Exception):
    """A failure worth telling the operator, in words that hold no secret."""


@dataclass(frozen=True)
class Failure:
    """One reason why inputs are refused, at one property path."""

    path: str
    reason: str


@dataclass(frozen=True)
class Log:
    """Sends messages to the engine about one resource."""

    send: Callable[[str, str, bool], None]

    def info(self, message: str) -> None:
        """A lasting line in the engine's output."""
        self.send("info", message, False)

    def status(self, message: str) -> None:
        """A passing note beside the resource, shown while it is worked on."""
        self.send("info", message, True)

    def warning(self, message: str) -> None:
        """A lasting line, coloured as a warning."""
        self.send("warning", message, False)


@dataclass(frozen=True)
class Call:
    """The circumstances of one request. `cancelled` is set when the engine gives up waiting."""

    urn: str
    preview: bool
    log: Log
    cancelled: threading.Event

    @property
    def type(self) -> str:
        """The type token, without the types of the resource's parents."""
        return self.urn.split("::")[2].rsplit("$", 1)[-1]

    @property
    def stack(self) -> str:
        return self.urn.removeprefix("urn:pulumi:").split("::")[0]


class Provider(Protocol):
    """What a plugin implements. Values are those of `lab.rpc.values.load`; threads call it."""

    def configure(self, variables: dict[str, Any]) -> None: ...

    def check(
        self, call: Call, olds: dict[str, Any], news: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Failure]]: ...

    def diff(
        self, call: Call, state: dict[str, Any], inputs: dict[str, Any], news: dict[str, Any]
    ) -> Diff: ...

    def create(self, call: Call, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]: ...

    def read(
        self, call: Call, resource_id: str, state: dict[str, Any], inputs: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """State and inputs as they are now; None when the resource is gone."""
        ...

    def update(
        self,
        call: Call,
        resource_id: str,
        state: dict[str, Any],
        inputs: dict[str, Any],
        news: dict[str, Any],
    ) -> dict[str, Any]: ...

    def delete(self, call: Call, resource_id: str, state: dict[str, Any]) -> None: ...
