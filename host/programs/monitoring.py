"""Brings what watches on one of the two machines to its desired state.

Drop-ins come before packages, and configuration after them: so nothing ever listens where Debian's
defaults would, and files can belong to users that the packages bring.
"""

from typing import Any

from host.programs.converge import Host, conclude


def main(desired: dict[str, Any]) -> int:
    host = Host()
    return conclude(host, lambda: converge(host, desired))


def converge(host: Host, desired: dict[str, Any]) -> dict[str, Any]:
    """`services`: unit -> {drop_in, files, check}: the unit is restarted when one of its files
    changed, after `check`, a command, has accepted them. `own`: a unit file of ours."""
    services = desired["services"]
    drop_ins = host.files([service["drop_in"] for service in services.values()])
    if drop_ins:
        host.run("systemctl", "daemon-reload")
    host.packages(desired["packages"])
    for directory in desired["directories"]:
        host.directory(directory["path"], directory["owner"], directory["mode"])
    for unit, service in services.items():
        changed = host.files(service["files"]) or service["drop_in"]["path"] in drop_ins
        if changed and service["check"]:
            host.run(*service["check"])
        _run(host, unit, restart=bool(changed))
    for own in desired["own"]:
        changed = host.files(own["files"])
        host.service(own["unit"], restart=bool(changed))
    for unit in services:
        host.wait(f"{unit} to run", lambda unit=unit: _active(host, unit))
    return {}


def _run(host: Host, unit: str, *, restart: bool) -> None:
    host.run("systemctl", "enable", "--quiet", unit)
    running = _active(host, unit)
    if restart or not running:
        host.run("systemctl", "restart", unit)
        host.note(f"{'restarted' if running else 'started'} {unit}")


def _active(host: Host, unit: str) -> bool:
    return host.run("systemctl", "is-active", unit, accept=(0, 3, 4)).returncode == 0
