"""Address translation as nftables rules: NAT gateways, public addresses, Azure's resolver."""

from __future__ import annotations

from collections.abc import Iterable

from lab.names import bridge
from lab.net.topology import PLATFORM_ADDRESS, Topology


def as_set(elements: Iterable[str]) -> str:
    """An anonymous set or map of nftables."""
    return "{ " + ", ".join(elements) + " }"


def egress(topology: Topology) -> list[str]:
    """Who has a way out to the Internet: by a NAT gateway, an own address, Azure's old default."""
    wide = [s for s in topology.subnets if s.nat_address or s.default_outbound]
    lines = [f'iifname "{bridge(subnet.key)}" accept' for subnet in wide]
    public = [nic.address for nic in topology.nics if nic.public_address]
    return [*lines, *([f"ip saddr {as_set(public)} accept"] if public else []), "drop"]


def destination(topology: Topology, uplink: str, resolver: str | None) -> list[str]:
    """Who stands behind a public address, and behind Azure's resolver."""
    lines = []
    nics = [nic for nic in topology.nics if nic.public_address]
    if nics:
        public = [f"{nic.public_address} : {nic.address}" for nic in nics]
        lines.append(f'iifname "{uplink}" dnat ip to ip daddr map {as_set(public)}')
    if resolver and topology.subnets:
        inside = as_set(f'"{bridge(subnet.key)}"' for subnet in topology.subnets)
        question = f"ip daddr {PLATFORM_ADDRESS} meta l4proto {{ tcp, udp }} th dport 53"
        lines.append(f"iifname {inside} {question} dnat ip to {resolver}")
    return lines


def source(topology: Topology, uplink: str, resolver: str | None) -> list[str]:
    """The address each subnet and NIC shows to the Internet; a NAT gateway comes first."""
    lines = []
    out = f'oifname "{uplink}"'
    if resolver:
        lines.append(f"{out} ct original ip daddr {PLATFORM_ADDRESS} masquerade")
    for subnet in topology.subnets:
        if subnet.nat_address:
            lines.append(f"{out} ip saddr {subnet.prefix} snat ip to {subnet.nat_address}")
    nics = [nic for nic in topology.nics if nic.public_address]
    if nics:
        public = [f"{nic.address} : {nic.public_address}" for nic in nics]
        lines.append(f"{out} snat ip to ip saddr map {as_set(public)}")
    for subnet in topology.subnets:
        if subnet.default_outbound:
            lines.append(f"{out} ip saddr {subnet.prefix} masquerade")
    return lines
