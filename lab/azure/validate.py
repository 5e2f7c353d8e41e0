"""Structural checks: does this set of properties fit the type's model?

Unknown values of a preview fit everywhere.
"""

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from lab.rpc.provider import Failure
from lab.rpc.values import Unknown


def structure(model: type[BaseModel], properties: dict[str, Any]) -> list[Failure]:
    """Everything in plain `properties` that the model does not allow; empty when it fits."""
    try:
        model.model_validate(properties)
    except ValidationError as error:
        return [
            _failure(details["loc"], details["type"], details["msg"])
            for details in error.errors(include_input=False, include_url=False)
            if not _unknown_at(properties, details["loc"])
        ]
    return []


def _failure(location: Sequence[int | str], kind: str, text: str) -> Failure:
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    path = path.removeprefix(".")
    if kind == "missing":
        return Failure(path, f"missing required property '{path}'")
    if kind == "extra_forbidden":
        return Failure(
            path,
            f"InvalidRequestContent: could not find member '{location[-1]}'. Either Azure does "
            "not have it here, or the lab does not provide it.",
        )
    return Failure(path, f"InvalidParameter: the value of '{path}' is invalid: {text}")


def _unknown_at(value: Any, location: Sequence[int | str]) -> bool:
    for step in location:
        if isinstance(value, Unknown):
            return True
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int):
            value = value[step]
    return isinstance(value, Unknown)


def known(value: Any, *path: str | int) -> Any:
    """The value at a path of nested dicts and lists; None where it is missing or unknown."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return None if isinstance(value, Unknown) else value


def items(value: Any, *path: str | int) -> list[Any]:
    """The known items of the list at a path; empty where it is missing or unknown."""
    found = known(value, *path)
    return [i for i in found if not isinstance(i, Unknown)] if isinstance(found, list) else []
