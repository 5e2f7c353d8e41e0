"""The durability guard as its process runs, not as its file has it."""

import json

from ops.reach.ssh import Machine

UNIT = "durability-guard"
# It looks once a second, and waits for PostgreSQL's answer for some.
SILENT_S = 15.0
_READ = """
import json, time
try:
    with open("/run/durability-guard/status.json") as file:
        seen = json.load(file)
    print(json.dumps({"level": seen["level"], "ago_s": time.monotonic() - seen["look"]["now"]}))
except (OSError, ValueError, KeyError):
    print("null")
"""


def level(machine: Machine) -> str | None:
    """The level that it runs at; None where it has looked at nothing for SILENT_S."""
    said = machine.run(["python3", "-I", "-"], stdin=_READ, timeout_s=20).stdout
    seen = json.loads(said)
    return seen["level"] if seen and 0 <= seen["ago_s"] <= SILENT_S else None
