"""Modules of this checkout as text, with those of ours that they import, for a machine that has
none of them. Pure."""

import ast
import json
import shlex
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

LOADER = files("host").joinpath("run_sent_modules.py").read_text()
# The shell command that runs a bundle.
PYTHON = ("/usr/bin/python3", "-I", "-c", LOADER)
RUN = shlex.join(PYTHON)
_OURS = ("host.", "ops.")


def bundle(entry: str, *arguments: Any) -> str:
    """Standard input for RUN: what it takes to call the `main` of `entry`, a dotted module name."""
    sources: dict[str, str] = {}
    for name, source in _collect(entry):
        sources.setdefault(name, source)
    return json.dumps({"modules": list(sources.items()), "entry": entry, "arguments": arguments})


def _collect(name: str) -> Iterator[tuple[str, str]]:
    """A module after everything of ours that it imports, which no circle can be in."""
    source, imports = _module(name)
    for needed in imports:
        yield from _collect(needed)
    yield name, source


# Programs share most of their modules, and each is parsed to see what it imports.
@cache
def _module(name: str) -> tuple[str, list[str]]:
    """The source of a module, and the modules of ours that it imports."""
    source = _source(name)
    return source, _imports(source)


def _imports(source: str) -> list[str]:
    """The modules of ours that a source imports: by their full names, no packages."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            parts = [f"{node.module}.{name.name}" for name in node.names]
            found += [part for part in parts if _is_module(part)] or [node.module]
    return [name for name in found if name.startswith(_OURS)]


def _is_module(name: str) -> bool:
    if not name.startswith(_OURS):
        return False
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        # Something inside a module that is no package.
        return False


def _source(name: str) -> str:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no module {name}")
    return Path(spec.origin).read_text()
