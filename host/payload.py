"""How a program and the state it shall bring about reach a machine: on standard input, whole.

Nothing is copied first and nothing secret shows in argv, in the environment or in a failing
command's quotation. Pure.
"""

from collections.abc import Mapping
from typing import Any

from host import bundle

# The same for every program, so that the remote command never changes.
RUN = f"sudo -n {bundle.RUN}"


def payload(program: str, desired: Mapping[str, Any]) -> str:
    """Standard input for `RUN`: `program` of host/programs with the modules it needs, and the
    state it is given. `desired` may hold secrets, so the result is secret too."""
    return bundle.bundle(f"host.programs.{program}", desired)
