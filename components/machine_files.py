"""Files as host/programs/converge.py takes them."""

from typing import Any

import pulumi

from components.identities import Identity
from host import render


def machine_file(
    path: str, content: pulumi.Input[str], owner: str = "root", mode: int = 0o644
) -> dict[str, Any]:
    """A file with exactly this content, owner and mode."""
    return {"path": path, "content": content, "owner": owner, "mode": mode}


def ssh_files(
    *,
    user: str,
    home: str,
    own: Identity,
    known_hosts: pulumi.Output[str],
    authorized_keys: pulumi.Output[str],
) -> list[dict[str, Any]]:
    """What `user` needs to reach the other machine, and to be reached from it."""
    folder = f"{home}/.ssh"
    return [
        machine_file(f"{folder}/id_ed25519", own.private, user, 0o600),
        machine_file(f"{folder}/known_hosts", known_hosts, user, 0o600),
        machine_file(f"{folder}/authorized_keys", authorized_keys, user, 0o600),
    ]


def ssh_directory(user: str, home: str) -> dict[str, Any]:
    """The directory that `ssh_files` go into; sshd insists on its mode."""
    return {"path": f"{home}/.ssh", "owner": user, "mode": 0o700}


def hardening(sshd_conf: str) -> list[dict[str, Any]]:
    """Files that narrow what a machine does and lets others do; docs/security.md lists them."""
    return [
        # Before 50-cloud-init.conf: of several values sshd takes the first.
        machine_file("/etc/ssh/sshd_config.d/10-hardening.conf", sshd_conf, mode=0o600),
        machine_file(
            "/etc/sysctl.d/90-hardening.conf", render.program_file("sysctl-hardening.conf")
        ),
        machine_file(
            "/etc/needrestart/conf.d/postgresql.conf",
            render.program_file("needrestart-postgresql.conf"),
        ),
    ]
