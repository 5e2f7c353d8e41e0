"""Pulumi property values as plain Python, with secrets and unknowns kept visible.

The SDK's own provider base cannot marshal unknown values and drops them on the way in, so a
preview through it would show made-up strings; this module is the whole of the difference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import struct_pb2

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a marker, the same for everybody
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class Unknown:
    """The type of UNKNOWN: a value that exists only once the deployment has run."""

    _only: "Unknown | None" = None

    def __new__(cls) -> "Unknown":
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only

    def __repr__(self) -> str:
        return "<unknown>"


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that the engine encrypts in its state and hides in its output."""

    value: Any

    def __repr__(self) -> str:
        return "<secret>"


def load(struct: struct_pb2.Struct) -> dict[str, Any]:
    """Read a message into dicts, lists, str, int, float, bool, None, Secret and UNKNOWN."""
    return {key: _load(value) for key, value in struct.fields.items()}


def _load(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value == _UNKNOWN else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_load(item) for item in value.list_value.values]
    if kind == "struct_value":
        fields = load(value.struct_value)
        signature = fields.get(_SIGNATURE)
        if signature == _SECRET:
            return Secret(fields.get("value"))
        if signature == _OUTPUT:
            inner = fields.get("value", UNKNOWN)
            return Secret(inner) if fields.get("secret") else inner
        return fields
    return None


def dump(values: Mapping[str, Any]) -> struct_pb2.Struct:
    """Write plain values (see `load`) into a message; entries that are None are left out."""
    present = {key: _dump(value) for key, value in values.items() if value is not None}
    return struct_pb2.Struct(fields=present)


def _dump(value: Any) -> struct_pb2.Value:
    if value is None:
        return struct_pb2.Value(null_value=struct_pb2.NULL_VALUE)
    if isinstance(value, Unknown):
        return struct_pb2.Value(string_value=_UNKNOWN)
    if isinstance(value, Secret):
        return struct_pb2.Value(struct_value=dump({_SIGNATURE: _SECRET, "value": value.value}))
    if isinstance(value, bool):
        return struct_pb2.Value(bool_value=value)
    if isinstance(value, (int, float)):
        return struct_pb2.Value(number_value=value)
    if isinstance(value, str):
        return struct_pb2.Value(string_value=value)
    if isinstance(value, Mapping):
        return struct_pb2.Value(struct_value=dump(value))
    if isinstance(value, (list, tuple)):
        items = [_dump(item) for item in value]
        return struct_pb2.Value(list_value=struct_pb2.ListValue(values=items))
    raise TypeError(f"a {type(value).__name__} cannot be sent to the engine")


def plain(value: Any) -> Any:
    """Strip the secret wrappers, at every depth; UNKNOWN stays."""
    return _map(value, lambda secret: plain(secret.value))


def _map(value: Any, secret: Callable[[Secret], Any]) -> Any:
    if isinstance(value, Secret):
        return secret(value)
    if isinstance(value, Mapping):
        return {key: _map(item, secret) for key, item in value.items()}
    if isinstance(value, list):
        return [_map(item, secret) for item in value]
    return value


def has_unknown(value: Any) -> bool:
    """Whether UNKNOWN occurs anywhere inside the value."""
    if isinstance(value, Secret):
        return has_unknown(value.value)
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return isinstance(value, Unknown)


def without_nulls(value: Any) -> Any:
    """Drop None entries of mappings, at every depth: to Azure an absent and a null are one."""
    if isinstance(value, Secret):
        return Secret(without_nulls(value.value))
    if isinstance(value, Mapping):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def without(value: Any, *path: str) -> Any:
    """A copy of nested mappings lacking the entry at the path; secret wrappers are seen through."""
    if isinstance(value, Secret):
        return Secret(without(value.value, *path))
    if not isinstance(value, Mapping) or path[0] not in value:
        return value
    if len(path) == 1:
        return {key: item for key, item in value.items() if key != path[0]}
    return {**value, path[0]: without(value[path[0]], *path[1:])}
