"""How a program and the state it shall bring about reach a machine: on standard input, whole.

Nothing is copied first and nothing secret shows in argv, in the environment or in a failing
command's quotation. Pure.
"""

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

# A loader, the same for every program, so that the remote command never changes.
RUN = (
    "sudo -n /usr/bin/python3 -I -c '"
    "import json, sys, types\n"
    "payload = json.load(sys.stdin)\n"
    'for name, source in payload["modules"]:\n'
    "    module = sys.modules[name] = types.ModuleType(name)\n"
    '    exec(compile(source, name + ".py", "exec"), module.__dict__)\n'
    'sys.exit(module.main(payload["desired"]))\''
)


def payload(program: str, desired: Mapping[str, Any]) -> str:
    """Standard input for `RUN`: the converge library, then `program` of host/programs, then the
    state it is given. `desired` may hold secrets, so the result is secret too."""
    folder = files("host").joinpath("programs")
    modules = [(name, folder.joinpath(f"{name}.py").read_text()) for name in ("converge", program)]
    return json.dumps({"modules": modules, "desired": desired})
