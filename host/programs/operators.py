"""Says whose keys let the operator in: those of the state, and nobody else's."""

from typing import Any

from host.programs.converge import Host, conclude


def main(desired: dict[str, Any]) -> int:
    host = Host()
    return conclude(host, "operators", desired, lambda: admit(host, desired))


def admit(host: Host, desired: dict[str, Any]) -> dict[str, Any]:
    """The operator's authorized_keys as desired, in one step: never a moment without a key."""
    directory = desired["directory"]
    host.directory(directory["path"], directory["owner"], directory["mode"])
    host.files([desired["keys"]])
    return {}
