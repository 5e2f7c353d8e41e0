"""What Azure does to a new machine besides running it: host name, administrator, keys, network and
customData, all handed over through cloud-init's NoCloud seed, and what of it Azure's agent sees."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

from lab.machines.image import mirror_directories
from lab.machines.spec import MachineSpec

_SEED = Path("var/lib/cloud/seed/nocloud")
_AGENT = Path("var/lib/waagent")
_DROP_IN = Path("etc/cloud/cloud.cfg.d/95_provisioning.cfg")


def write(spec: MachineSpec, root: Path, upper: Path) -> None:
    """Fill the empty `upper` directory that will lie over the image `root`."""
    upper.mkdir()
    shutil.copystat(root, upper)
    files = {
        Path("etc/hostname"): (f"{spec.hostname}\n".encode(), 0o644),
        _DROP_IN: (_json(_defaults(spec)), 0o644),
        _SEED / "meta-data": (_json(_meta_data(spec)), 0o600),
        _SEED / "network-config": (_json(_network(spec)), 0o600),
        _SEED / "user-data": (spec.custom_data, 0o600),
        # Where cloud-init's data source for Azure keeps what it was given.
        _AGENT / "ovf-env.xml": (_environment(spec), 0o600),
    }
    for path, (content, mode) in files.items():
        mirror_directories(root, upper, path.parent)
        file = upper / path
        file.touch(mode=mode)
        file.write_bytes(content)


def agent_report(upper: Path) -> str:
    """What the agent of the machine with this upper directory has reported last; empty: nothing
    yet."""
    report = upper / _AGENT / "report"
    return report.read_text().strip() if report.exists() else ""


def _json(value: object) -> bytes:
    """JSON, which YAML's readers take."""
    return json.dumps(value, indent=1).encode() + b"\n"


def _environment(spec: MachineSpec) -> bytes:
    data = base64.b64encode(spec.custom_data)
    return b"<Environment><CustomData>%s</CustomData></Environment>\n" % data


def _defaults(spec: MachineSpec) -> object:
    user = {
        "name": spec.admin_user,
        "gecos": spec.admin_user,
        "lock_passwd": True,
        "sudo": ["ALL=(ALL) NOPASSWD:ALL"],
        "shell": "/bin/bash",
    }
    return {"system_info": {"default_user": user}}


def _meta_data(spec: MachineSpec) -> object:
    return {
        "instance-id": spec.instance_id,
        "local-hostname": spec.hostname,
        "public-keys": list(spec.admin_keys),
    }


def _network(spec: MachineSpec) -> object:
    interfaces = {}
    for index, nic in enumerate(spec.nics):
        # Written out, because some releases of cloud-init do not take `to: default`.
        route = [{"to": "0.0.0.0/0", "via": nic.gateway}] if index == 0 else []
        interfaces[f"eth{index}"] = {
            "addresses": [nic.address],
            "routes": route,
            "nameservers": {"addresses": list(spec.nameservers)},
        }
    return {"version": 2, "ethernets": interfaces}
