"""The cloud-config document of a machine's first boot.

Minimal and stable: Azure refuses a changed customData on an existing VM, so whatever may change
later is configured over SSH instead. Pure.
"""

from dataclasses import dataclass
from importlib.resources import files

import yaml

PREPARE_DATA_DISK = "/usr/local/sbin/prepare-data-disk"
DATA_DISK_LUN = 0
PREPARE = (PREPARE_DATA_DISK, str(DATA_DISK_LUN))
# Azure's agent reports a machine as failed whose host key it does not find, and looks for RSA's
# unless told otherwise. It reads this once, when it starts: after cloud-init's network stage.
TELL_AGENT = [
    "sed",
    "-i",
    "s/^Provisioning.SshHostKeyPairType=.*/Provisioning.SshHostKeyPairType=ed25519/",
    "/etc/waagent.conf",
]


@dataclass(frozen=True)
class FirstBoot:
    """What differs between the machines. `host_private_key` is secret."""

    host_private_key: str
    host_public_key: str
    packages: tuple[str, ...]


def render(first_boot: FirstBoot) -> str:
    """The customData document, before base64."""
    document = {
        "bootcmd": [TELL_AGENT],
        "ssh_deletekeys": True,
        # The one host key that every client of this machine pins.
        "ssh_keys": {
            "ed25519_private": first_boot.host_private_key,
            "ed25519_public": first_boot.host_public_key,
        },
        "ssh_pwauth": False,
        "disable_root": True,
        "timezone": "Etc/UTC",
        "package_update": True,
        "packages": sorted(first_boot.packages),
        "write_files": [
            {
                # The packaged cluster would land on the system disk, without checksums.
                "path": "/etc/postgresql-common/createcluster.d/no-main-cluster.conf",
                "content": "create_main_cluster = false\n",
                "permissions": "0644",
            },
            {
                # What `ssh_pwauth` would write later, and then restart sshd for: a connection that
                # came between its start and that restart would be dropped.
                "path": "/etc/ssh/sshd_config.d/50-cloud-init.conf",
                "content": "PasswordAuthentication no\n",
                "permissions": "0600",
            },
            {
                # An upgrade of sshd makes every host key that it is configured with and lacks; with
                # the default, a client might be shown another one than it pins. `pulumi up` puts
                # the whole file here.
                "path": "/etc/ssh/sshd_config.d/10-hardening.conf",
                "content": "HostKey /etc/ssh/ssh_host_ed25519_key\n",
                "permissions": "0600",
            },
            {
                # A mail server is among the recommended: it has no business here.
                "path": "/etc/apt/apt.conf.d/50no-recommends",
                "content": 'APT::Install-Recommends "false";\n',
                "permissions": "0644",
            },
            {
                "path": "/etc/apt/apt.conf.d/52unattended-upgrades-local",
                "content": _resource("unattended-upgrades.conf"),
                "permissions": "0644",
            },
            {
                "path": PREPARE_DATA_DISK,
                "content": _resource("prepare-data-disk"),
                "permissions": "0755",
            },
        ],
        "runcmd": [list(PREPARE)],
    }
    return "#cloud-config\n" + yaml.dump(document, Dumper=_BlockText, sort_keys=False, width=100)


def _resource(name: str) -> str:
    return files("cloud_init").joinpath("files", name).read_text()


class _BlockText(yaml.SafeDumper):
    """Writes text of several lines as a block, so that the document can be read."""


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_BlockText.add_representer(str, _represent_text)
