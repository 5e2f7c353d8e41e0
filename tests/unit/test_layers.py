"""Who may import whom. An arrow against the order is named, with the file it starts in."""

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.support.checkout import checkout_files

ROOT = Path(__file__).resolve().parents[2]
# What each room at the top may import besides itself; docs/architecture.md draws it.
ALLOWED: dict[str, frozenset[str]] = {
    "host": frozenset(),
    "cloud_init": frozenset(),
    "policy": frozenset(),
    "engine": frozenset(),
    "settings": frozenset({"host"}),
    "components": frozenset({"settings", "cloud_init", "host"}),
    "__main__": frozenset({"settings", "components", "cloud_init"}),
    "ops": frozenset({"engine", "host"}),
    "lab": frozenset({"engine"}),
    "bench": frozenset({"lab", "engine", "ops", "host"}),
    "tools": frozenset({"settings", "host", "ops"}),
    "tests": frozenset(
        {"settings", "components", "cloud_init", "host", "policy", "engine", "ops", "lab", "tools"}
    )
    | {"bench"},
}
# The rooms of ops/, each above those before it.
FLOORS = (
    ("errors", "model"),
    ("screen",),
    ("reach",),
    ("archive",),
    ("runbook",),
    ("watch",),
    ("onmachine",),
    ("recover",),
    ("teardown", "adopt", "rotate", "report", "migrate"),
    ("cli",),
    ("__main__",),
)


def imports(source: str) -> set[str]:
    """The dotted names of the modules that a source imports by their full names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def between_rooms(path: str, source: str) -> list[str]:
    """Arrows out of `path` that no room at the top may have."""
    room = path.split("/")[0].removesuffix(".py")
    return [
        f"{path} imports {name}: {room}/ may not import {target}/"
        for name in sorted(imports(source))
        if (target := name.split(".")[0]) in ALLOWED
        and target not in (room, "__main__")
        and target not in ALLOWED[room]
    ]


def upward(path: str, source: str) -> list[str]:
    """Arrows out of a file of ops/ to a room on its own floor or above."""
    floor = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
    room = path.split("/")[1].removesuffix(".py")
    found = []
    for name in sorted(imports(source)):
        words = name.split(".")
        if words[0] != "ops" or len(words) < 2 or words[1] not in floor or words[1] == room:
            continue
        if floor[words[1]] >= floor[room]:
            found.append(f"{path} imports {name}: ops/{room} is not above ops/{words[1]}")
    return found


def sources() -> Iterable[tuple[str, str]]:
    listed = [name for name in checkout_files() if name.endswith(".py")]
    return [(path, (ROOT / path).read_text()) for path in listed if (ROOT / path).exists()]


def test_no_room_imports_one_that_it_may_not() -> None:
    assert not [arrow for path, source in sources() for arrow in between_rooms(path, source)]


def test_no_room_of_the_runbooks_imports_one_above_it() -> None:
    wrong = [
        arrow
        for path, source in sources()
        if path.startswith("ops/") and path.count("/") and not path.endswith("ops/__init__.py")
        for arrow in upward(path, source)
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("path", "line", "named"),
    [
        ("ops/reach/outputs.py", "from lab import power", "ops/ may not import lab/"),
        ("host/payload.py", "import components.machine", "host/ may not import components/"),
        ("engine/binary.py", "from ops.reach import ssh", "engine/ may not import ops/"),
        ("settings/model.py", "from components import remote", "settings/ may not import"),
    ],
)
def test_an_arrow_turned_round_is_named(path: str, line: str, named: str) -> None:
    (arrow,) = between_rooms(path, line)
    assert path in arrow
    assert named in arrow


def test_an_arrow_upward_in_the_runbooks_is_named() -> None:
    (arrow,) = upward("ops/reach/ssh.py", "from ops.watch import status")
    assert "ops/reach/ssh.py imports ops.watch.status" in arrow
