"""The lab's network: one namespace of bridges, firewall and NAT, joined to the host by one veth.

Being a namespace of its own, two labs may use the same prefixes, traffic from the host passes the
security groups like anybody's, and taking it down is one command.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from lab.names import Lab, bridge, digest
from lab.net import hostnet
from lab.net.firewall import render
from lab.net.topology import PLATFORM_ADDRESS, Topology
from lab.shell import LabError, require_host, run

# What machines are given as nameserver. As in Azure it answers whatever the security groups say,
# and needs no way out: the host's own resolver stands behind it.
RESOLVER = PLATFORM_ADDRESS

UPLINK = "internet0"
OUTSIDE = "internet*"  # the uplink, and what a test plugs in beside it


@dataclass(frozen=True)
class Internet:
    """198.18.N.0/24: the lab's piece of the Internet. Public addresses from `first_public` up."""

    host_address: str
    prefix: str
    first_public: str


def internet(lab: Lab) -> Internet:
    """The lab's piece of the Internet, picked free on this host at the first call, then kept."""
    network = IPv4Network(f"198.18.{_number(lab)}.0/24")
    return Internet(str(network[1]), str(network), str(network[10]))


def apply(lab: Lab, topology: Topology) -> None:
    """Make the network be `topology`, whatever it is now. Idempotent; open connections stay open.

    Raises LabError if this host cannot run a lab, or if a command fails: then call it again.
    """
    require_host()
    outside = internet(lab)
    hostnet.connect(lab, UPLINK, outside.prefix, outside.host_address)
    topology = replace(topology, peered=tuple(_read(_peers_file(lab), [])))
    _bridges(lab, topology)
    script = render(topology, OUTSIDE, hostnet.resolver())
    run(["nft", "-f", "-"], stdin=script, namespace=lab.short)
    _write(lab.directory / "topology.json", asdict(topology))


def remove(lab: Lab) -> None:
    """Take down all that `apply` has ever made, and what tests plugged in. Safe after any crash."""
    hostnet.disconnect(lab)
    for name in ("topology.json", "peers.json", "lab.json"):
        (lab.directory / name).unlink(missing_ok=True)


def run_in(
    lab: Lab, argv: Sequence[str], *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a program inside the lab's network namespace, as the fabric itself: for looking at it."""
    return run(argv, check=check, namespace=lab.short)


def set_peer(lab: Lab, prefix: str, joined: bool) -> None:
    """Join a prefix to every virtual network of the lab as a peered network, or part it again."""
    peers = set(_read(_peers_file(lab), []))
    peers = peers | {prefix} if joined else peers - {prefix}
    _write(_peers_file(lab), sorted(peers))
    stored = _read(lab.directory / "topology.json", None)
    if stored is not None:
        apply(lab, TypeAdapter(Topology).validate_python(stored))


def _bridges(lab: Lab, topology: Topology) -> None:
    """Exactly one bridge per subnet, with the subnet's router address."""
    listed = run(["ip", "-n", lab.short, "-json", "address", "show", "type", "bridge"]).stdout
    # Some versions of iproute2 list an empty object per filtered-out interface.
    present = {
        link["ifname"]: {f"{a['local']}/{a['prefixlen']}" for a in link["addr_info"]}
        for link in json.loads(listed or "[]")
        if link
    }
    wanted = {
        bridge(subnet.key): f"{subnet.gateway}/{IPv4Network(subnet.prefix).prefixlen}"
        for subnet in topology.subnets
    }
    commands = [f"link delete {name}" for name in present if name not in wanted]
    for name, address in wanted.items():
        if name not in present:
            # A fixed MAC: otherwise it changes with the ports, and machines lose their router.
            number = digest(lab.short, name, length=10)
            mac = ":".join(["02", *(number[i : i + 2] for i in range(0, 10, 2))])
            commands.append(
                f"link add {name} address {mac} type bridge stp_state 0 forward_delay 0 "
                "mcast_snooping 0"
            )
        for stale in present.get(name, set()) - {address}:
            commands.append(f"address delete {stale} dev {name}")
        if address not in present.get(name, set()):
            commands.append(f"address add {address} dev {name}")
        if name not in present:
            commands.append(f"link set {name} up")
    if commands:
        run(["ip", "-n", lab.short, "-batch", "-"], stdin="\n".join(commands) + "\n")


def _number(lab: Lab) -> int:
    """The N of 198.18.N.0/24. The first choice follows from the lab's name, so it rarely moves."""
    stored = _read(lab.directory / "lab.json", {})
    if "internet" in stored:
        return int(stored["internet"])
    first = int(digest(lab.short, length=2), 16)
    taken = hostnet.addresses()
    for step in range(256):
        number = (first + step) % 256
        if f"198.18.{number}.1" not in taken:
            _write(lab.directory / "lab.json", {"internet": number})
            return number
    raise LabError("all of 198.18.0.0/16 is in use on this host: is it a lab of 256 labs?")


def _peers_file(lab: Lab) -> Path:
    return lab.directory / "peers.json"


def _read(path: Path, default: Any) -> Any:
    return json.loads(path.read_text()) if path.exists() else default


def _write(path: Path, value: object) -> None:
    """Replace a file as a whole: a crash leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(value, indent=1))
    new.replace(path)
