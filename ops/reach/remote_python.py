"""Python from this checkout, run on a machine: sent over standard input, nothing installed."""

import json
from collections.abc import Sequence
from importlib import import_module
from inspect import getsource
from types import ModuleType
from typing import Any

from ops.reach.ssh import Machine

_BOOTSTRAP = """
import json, sys, types
for name, source in json.loads({sources!r}):
    for parent in (name.rsplit(".", 2)[0], name.rsplit(".", 1)[0]):
        sys.modules.setdefault(parent, types.ModuleType(parent))
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(source, name, "exec"), module.__dict__)
sys.modules[{entry!r}].main(*sys.argv[1:])
"""


def program(entry: ModuleType, *needs: ModuleType) -> str:
    """The text that, fed to Python, runs `entry`.main with `needs` importable."""
    sources = json.dumps([(module.__name__, getsource(module)) for module in (*needs, entry)])
    return _BOOTSTRAP.format(sources=sources, entry=entry.__name__)


def call(
    machine: Machine,
    name: str,
    arguments: Sequence[str],
    *,
    needs: Sequence[str] = (),
    user: str = "root",
    timeout_s: float = 120,
) -> Any:
    """Run ops.onmachine.NAME's main with `arguments` on `machine`; what it prints, from JSON."""
    entry, *others = (import_module(f"ops.onmachine.{part}") for part in (name, *needs))
    result = machine.run(
        ["python3", "-I", "-", *arguments],
        user=user,
        stdin=program(entry, *others),
        timeout_s=timeout_s,
    )
    return json.loads(result.stdout)
