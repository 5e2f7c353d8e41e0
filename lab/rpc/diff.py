"""The detailed difference of two property trees, as the engine wants to show it."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from lab.rpc.values import Unknown, plain

Kind = Literal["add", "update", "delete"]


@dataclass(frozen=True)
class Change:
    """One changed path; `replace` says that it cannot be done in place."""

    kind: Kind
    replace: bool = False


@dataclass(frozen=True)
class Diff:
    """What an update would do. `changes` maps property paths (`a.b[0]`) to their change."""

    changes: dict[str, Change] = field(default_factory=dict)
    delete_before_replace: bool = False


def paths(old: Any, new: Any) -> dict[str, Kind]:
    """Every path at which two plain trees differ. An unknown new value counts as changed."""
    return dict(_walk("", plain(old), plain(new)))


def _walk(path: str, old: Any, new: Any) -> Iterable[tuple[str, Kind]]:
    if isinstance(new, Unknown) or type(old) is not type(new):
        if old is None and new is None:
            return
        yield path, "add" if old is None else "delete" if new is None else "update"
    elif isinstance(old, dict):
        for key in sorted(old.keys() | new.keys()):
            yield from _walk(_join(path, key), old.get(key), new.get(key))
    elif isinstance(old, list):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else None
            after = new[index] if index < len(new) else None
            yield from _walk(f"{path}[{index}]", before, after)
    elif old != new:
        yield path, "update"


def _join(path: str, key: str) -> str:
    if not re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_$]*", key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def top(path: str) -> str:
    """The name of the top-level property that a path belongs to."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def compare(old: Any, new: Any, replaces: Callable[[str], bool]) -> Diff:
    """Difference of old and new inputs; `replaces` is asked with each changed path."""
    changes = {p: Change(kind, replaces(p)) for p, kind in paths(old, new).items()}
    return Diff(changes)
