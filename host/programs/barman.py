"""Brings the Barman machine to its desired state: directories, configuration, keys.

Starts nothing: streaming needs the PostgreSQL machine and is begun by streaming_backup.
"""

from pathlib import Path
from typing import Any

from host.domain.paths import CURRENT_RUNBOOK
from host.programs.converge import ConvergeError, Host, conclude


def main(desired: dict[str, Any]) -> int:
    host = Host()
    return conclude(host, lambda: converge(host, desired))


def converge(host: Host, desired: dict[str, Any]) -> dict[str, Any]:
    """Directories, files and services as desired."""
    host.require_mount(desired["mount_point"])
    if Path(CURRENT_RUNBOOK).exists():
        raise ConvergeError(
            "a runbook is at work on this machine, or was interrupted; nothing was changed. See: "
            "python -m ops status, then run pulumi up again"
        )
    host.harden(desired["hardening"])
    host.packages(desired["packages"])
    for directory in desired["directories"]:
        host.directory(directory["path"], directory["owner"], directory["mode"])
    changed = host.files(desired["files"])
    if any(path.startswith("/etc/systemd/") for path in changed):
        host.run("systemctl", "daemon-reload")
    host.service(desired["verify_timer"], restart=False)
    for unit in desired["units"]:
        host.service(unit, restart=False)
    host.service(desired["watch"], restart=any("receiver-watch" in path for path in changed))
    host.run("barman", "show-servers", desired["server"], user="barman")
    return {"version": host.run("barman", "--version").stdout.split()[0]}
