"""Brings the Barman machine to its desired state: directories, configuration, keys.

Starts nothing: streaming needs the PostgreSQL machine and is begun by streaming_backup.
"""

import pwd
from pathlib import Path
from typing import Any

from host.domain.paths import CURRENT_RUNBOOK
from host.programs.change import harden, serve_own
from host.programs.converge import ConvergeError, Host, conclude


def main(desired: dict[str, Any]) -> int:
    host = Host()
    return conclude(host, "barman", desired, lambda: converge(host, desired))


def converge(host: Host, desired: dict[str, Any]) -> dict[str, Any]:
    """Directories, files and services as desired."""
    host.require_mount(desired["mount_point"])
    if Path(CURRENT_RUNBOOK).exists():
        raise ConvergeError(
            "a runbook is at work on this machine, or was interrupted; nothing was changed. See: "
            "python -m ops status, then run pulumi up again"
        )
    host.utc()
    harden(host, desired["hardening"])
    host.packages(desired["packages"])
    for directory in desired["directories"]:
        _own_again(host, directory["path"], directory["owner"])
        host.directory(directory["path"], directory["owner"], directory["mode"])
    # Read whenever Barman or one of these programs starts, and by systemd when it is told to.
    host.files(desired["files"])
    for item in desired["files"]:
        if item["path"].startswith("/etc/systemd/"):
            host.read_unit(item["path"].rpartition("/")[2])
    for service in desired["services"]:
        serve_own(host, service)
    host.run("barman", "show-servers", desired["server"], user="barman")
    return {"version": host.run("barman", "--version").stdout.split()[0]}


def _own_again(host: Host, path: str, owner: str) -> None:
    """A disk that outlived its machine: the new machine may number its users otherwise."""
    if Path(path).is_dir() and Path(path).stat().st_uid != pwd.getpwnam(owner).pw_uid:
        host.run("chown", "-R", f"{owner}:", path)
        host.note(f"changed owner of what is in {path} to {owner}")
