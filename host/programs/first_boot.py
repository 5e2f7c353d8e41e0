"""Ends the first boot: waits for cloud-init, then removes its copies of the machine's secrets.

cloud-init runs once. Packages that it could not install, because something else held apt's lock or
a mirror did not answer, are installed here, and the data disk, which needs some of them, is
prepared: whatever still fails then is tried again by the next run.

customData carries the SSH host key, and cloud-init keeps it in several files. The program never
uses cloud-init again, so it is switched off and its copies are deleted.
"""

import json
import os
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from host.programs.converge import ConvergeError, Host, conclude

FIRST_BOOT_TIMEOUT_S = 1800
# cloud-init's modules for packages and runcmd, which this program can stand in for. Their errors
# read "('scripts_user', RuntimeError(…", in older releases "('scripts-user', …".
REPEATABLE = frozenset({"package_update_upgrade_install", "scripts_user"})
MODULE = re.compile(r"\('([a-z_-]+)', ")
AGENT_TIMEOUT_S = 300
DISABLED = Path("/etc/cloud/cloud-init.disabled")
# user-data*, vendor-data*, cloud-config and obj.pkl live per instance; a seed, the merged
# configuration of this boot and the copy of Azure's provisioning media hold customData once more.
FOLDERS = ("var/lib/cloud/instances", "var/lib/cloud/seed")
FILES = (
    "var/lib/cloud/instance",
    "run/cloud-init/combined-cloud-config.json",
    "run/cloud-init/instance-data-sensitive.json",
    "var/lib/waagent/ovf-env.xml",
)
LOG = Path("/var/log/cloud-init-output.log")
AGENT = Path("/var/lib/waagent")
# Azure's agent writes it when it has found ovf-env.xml and the host key; without it, it looks for
# both at every boot.
PROVISIONED = AGENT / "provisioned"


def main(desired: dict[str, Any]) -> int:
    host = Host()
    return conclude(host, "first_boot", desired, lambda: end_first_boot(host, desired))


def end_first_boot(host: Host, desired: dict[str, Any]) -> dict[str, Any]:
    """Returns when it ended, the same moment with every run.

    Raises ConvergeError, with the end of cloud-init's log, when the first boot failed in what
    cannot be done again, else with what could not be done now.
    """
    if not DISABLED.exists():
        _await_cloud_init(host)
        host.packages(desired["packages"])
        if not os.path.ismount(desired["mount_point"]):
            host.run(*desired["prepare_disk"])
            host.note(f"mounted the data disk at {desired['mount_point']}")
        host.wait(
            "Azure's agent to find the SSH host key (see journalctl -u walinuxagent)",
            PROVISIONED.exists,
            AGENT_TIMEOUT_S,
        )
        remove_copies(Path("/"))
        DISABLED.touch()
        host.note("first boot ended, cloud-init's copies of customData removed")
    elif AGENT.exists() and not PROVISIONED.exists():
        # A machine of a version that did not wait for it. The agent fills in an empty one, and
        # reports the machine as ready when it starts next.
        PROVISIONED.touch()
        host.note(f"wrote {PROVISIONED}")
    host.require_mount(desired["mount_point"])
    ended = datetime.fromtimestamp(DISABLED.stat().st_mtime, UTC)
    return {"ended": f"{ended:%Y%m%dT%H%M%SZ}"}


def _await_cloud_init(host: Host) -> None:
    done = host.run(
        *("cloud-init", "status", "--wait", "--format", "json"),
        accept=(0, 1, 2),
        timeout_s=FIRST_BOOT_TIMEOUT_S,
    )
    # 2 is "done, with recoverable errors": deprecated keys count as such, failed modules as 1.
    if done.returncode == 1 and not repeatable(json.loads(done.stdout)["errors"]):
        log = LOG.read_text(errors="replace").splitlines()[-30:] if LOG.exists() else []
        raise ConvergeError("first boot failed; the end of its log:\n" + "\n".join(log))


def repeatable(errors: list[str]) -> bool:
    """Whether nothing but what this program does again has failed."""
    modules = [found[1] if (found := MODULE.match(error)) else "" for error in errors]
    return bool(errors) and {name.replace("-", "_") for name in modules} <= REPEATABLE


def remove_copies(root: Path) -> None:
    """Delete every file under `root` in which cloud-init keeps customData."""
    for name in FOLDERS:
        if (root / name).exists():
            shutil.rmtree(root / name)
    for name in FILES:
        (root / name).unlink(missing_ok=True)
