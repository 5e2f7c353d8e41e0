"""Brings what watches on one of the two machines to its desired state.

Drop-ins come before packages, and configuration after them: so nothing ever listens where Debian's
defaults would, and files can belong to users that the packages bring.
"""

from typing import Any

from host.programs.change import serve, serve_own
from host.programs.converge import Host, conclude


def main(desired: dict[str, Any]) -> int:
    host = Host()
    return conclude(host, "monitoring", desired, lambda: converge(host, desired))


def converge(host: Host, desired: dict[str, Any]) -> dict[str, Any]:
    """`services`: unit -> {drop_in, files, check}: Debian's unit runs with these files once
    `check`, a command, has accepted them. `own`: units of ours. `unwanted`: unit -> path of the
    drop-in, of packages of the unit's name that are not to be there."""
    for unit, drop_in in desired["unwanted"].items():
        if host.read(drop_in) is not None:
            host.purge([unit])
            host.restore(drop_in, None)
    services = desired["services"]
    for service in services.values():
        if host.read(service["drop_in"]["path"]) is None:
            host.files([service["drop_in"]])
    host.packages(desired["packages"])
    for directory in desired["directories"]:
        host.directory(directory["path"], directory["owner"], directory["mode"])
    for unit, service in services.items():
        files = [service["drop_in"], *service["files"]]
        serve(host, f"{unit}.service", files, check=service["check"])
    for own in desired["own"]:
        serve_own(host, own)
    for unit in services:
        host.wait(f"{unit} to run", lambda unit=unit: host.active(unit))
    return {}
