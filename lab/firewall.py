"""Network security groups: Azure's rules rendered as one nftables script, and Azure's own reading of them."""

from __future__ import annotations

from lab.topology import Direction, Protocol, SecurityRule, Topology


def render(topology: Topology, uplink: str, resolver: str | None = None) -> str: raise NotImplementedError
def allows(rules: tuple[SecurityRule, ...] | None, direction: Direction, protocol: Protocol, source: str, destination: str, port: int, vnet_prefixes: tuple[str, ...]) -> bool: raise NotImplementedError
