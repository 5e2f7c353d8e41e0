"""Network security groups: Azure's own reading of the rules, and the same as an nftables script.

What is drawn from where: `Internet` is every address outside the virtual network and its peers;
a subnet without a group lets everything through except connections from the Internet, which a
Standard public address refuses until a group allows them.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, collapse_addresses

from lab.names import bridge
from lab.net import nat
from lab.net.nat import as_set
from lab.net.topology import (
    INTERNET,
    LOAD_BALANCER,
    PLATFORM_ADDRESS,
    VIRTUAL_NETWORK,
    Direction,
    Protocol,
    SecurityRule,
    Subnet,
    Topology,
    port_range,
)

_ANY = ("*",)


def _default(
    name: str, priority: int, direction: Direction, source: str, target: str, deny: bool = False
) -> SecurityRule:
    access = "Deny" if deny else "Allow"
    return SecurityRule(name, priority, direction, access, "*", (source,), _ANY, (target,), _ANY)


DEFAULT_RULES = (
    _default("AllowVnetInBound", 65000, "Inbound", VIRTUAL_NETWORK, VIRTUAL_NETWORK),
    _default("AllowAzureLoadBalancerInBound", 65001, "Inbound", LOAD_BALANCER, "*"),
    _default("DenyAllInBound", 65500, "Inbound", "*", "*", deny=True),
    _default("AllowVnetOutBound", 65000, "Outbound", VIRTUAL_NETWORK, VIRTUAL_NETWORK),
    _default("AllowInternetOutBound", 65001, "Outbound", "*", INTERNET),
    _default("DenyAllOutBound", 65500, "Outbound", "*", "*", deny=True),
)


def allows(
    rules: tuple[SecurityRule, ...] | None,
    direction: Direction,
    protocol: Protocol,
    source: str,
    destination: str,
    port: int,
    vnet_prefixes: tuple[str, ...],
    source_port: int = 50000,
) -> bool:
    """Whether one security group lets a new connection through in one direction.

    `rules` are the group's own, in any order; None stands for no group. A rule that names ports
    does not speak of ICMP, which has none.
    """
    if rules is None:
        return direction == "Outbound" or _within(source, VIRTUAL_NETWORK, vnet_prefixes)
    for rule in _in_order(rules, direction):
        ports = ((port, rule.destination_ports), (source_port, rule.source_ports))
        if (
            rule.protocol in ("*", protocol)
            and any(_within(source, where, vnet_prefixes) for where in rule.sources)
            and any(_within(destination, where, vnet_prefixes) for where in rule.destinations)
            and all(_among(number, ranges, protocol) for number, ranges in ports)
        ):
            return rule.access == "Allow"
    raise AssertionError("the default rules match everything")


def _in_order(rules: tuple[SecurityRule, ...], direction: Direction) -> list[SecurityRule]:
    own = [rule for rule in (*rules, *DEFAULT_RULES) if rule.direction == direction]
    return sorted(own, key=lambda rule: rule.priority)


def _within(address: str, where: str, vnet_prefixes: tuple[str, ...]) -> bool:
    if where == "*":
        return True
    if where == LOAD_BALANCER:
        return address == PLATFORM_ADDRESS
    if where in (VIRTUAL_NETWORK, INTERNET):
        inside = any(IPv4Address(address) in IPv4Network(prefix) for prefix in vnet_prefixes)
        return inside == (where == VIRTUAL_NETWORK)
    return IPv4Address(address) in IPv4Network(where)


def _among(port: int, ranges: tuple[str, ...], protocol: Protocol) -> bool:
    if "*" in ranges:
        return True
    if protocol == "Icmp":
        return False
    return any(low <= port <= high for low, high in map(port_range, ranges))


def render(topology: Topology, uplink: str, resolver: str | None = None) -> str:
    """A complete nft script that replaces the lab's one table in a single transaction.

    `uplink`: name (or `name*`) of the interfaces to the Internet. `resolver`: the address that
    answers for Azure's resolver; None, nobody does. A connection passes the outbound rules of its
    source's subnet, then the inbound rules of its destination's; answers pass.
    """
    subnets = topology.subnets
    leaving = [f'"{bridge(subnet.key)}" : jump {_chain("from", subnet)}' for subnet in subnets]
    arriving = [f'"{bridge(subnet.key)}" : goto {_chain("to", subnet)}' for subnet in subnets]
    lines = ["table inet lab", "delete table inet lab", "table inet lab {"]
    lines += _block(
        "input",
        "type filter hook input priority filter; policy drop;",
        ["ct state established,related accept"],
    )
    forward = ["ct state established,related accept", "ct state invalid drop"]
    if resolver:
        forward.append(f"ct status dnat ct original ip daddr {PLATFORM_ADDRESS} accept")
    if subnets:
        forward += [
            f'iifname "{uplink}" ct status dnat oifname vmap {as_set(arriving)}',
            f'iifname "{uplink}" drop',
            f"iifname vmap {as_set(leaving)}",
            f"oifname vmap {as_set(arriving)}",
            f'oifname "{uplink}" goto egress',
        ]
    lines += _block("forward", "type filter hook forward priority filter; policy drop;", forward)
    for subnet in subnets:
        title = f'comment "{subnet.key}"'
        lines += _block(_chain("from", subnet), title, _from(topology, subnet))
        lines += _block(_chain("to", subnet), None, _to(topology, subnet, uplink))
    lines += _block("egress", None, nat.egress(topology))
    lines += _block(
        "prerouting",
        "type nat hook prerouting priority dstnat;",
        nat.destination(topology, uplink, resolver),
    )
    lines += _block(
        "postrouting",
        "type nat hook postrouting priority srcnat;",
        nat.source(topology, uplink, resolver),
    )
    return "\n".join([*lines, "}"]) + "\n"


def _chain(side: str, subnet: Subnet) -> str:
    return f"{side}_{bridge(subnet.key)}"


def _block(name: str, head: str | None, body: list[str]) -> list[str]:
    inner = [f"\t\t{line}" for line in ([head] if head else []) + body]
    return [f"\tchain {name} {{", *inner, "\t}"]


def _from(topology: Topology, subnet: Subnet) -> list[str]:
    spoofed = f"ip saddr != {subnet.prefix} drop"
    everything_else = "meta nfproto != ipv4 drop"
    rules = _rules(topology, subnet, "Outbound", allow="return")
    return [everything_else, spoofed, *rules]


def _to(topology: Topology, subnet: Subnet, uplink: str) -> list[str]:
    foreign = [f'"{bridge(s.key)}"' for s in topology.subnets if s.vnet != subnet.vnet]
    lines = [f"iifname {as_set(foreign)} drop"] if foreign else []
    if subnet.security_rules is None:
        return [*lines, f'iifname "{uplink}" drop', "accept"]
    return lines + _rules(topology, subnet, "Inbound", allow="accept")


def _rules(topology: Topology, subnet: Subnet, direction: Direction, allow: str) -> list[str]:
    """The security group's rules in one direction, in order, as nft rules; none without a group."""
    if subnet.security_rules is None:
        return []
    vnet = topology.vnet_prefixes(subnet.vnet)
    lines = []
    for rule in _in_order(subnet.security_rules, direction):
        verdict = allow if rule.access == "Allow" else "drop"
        for source in _addresses("saddr", rule.sources, vnet):
            for target in _addresses("daddr", rule.destinations, vnet):
                match = [source, target, _protocol_and_ports(rule)]
                lines.append(" ".join([*filter(None, match), verdict, f'comment "{rule.name}"']))
    return lines


def _addresses(field: str, where: tuple[str, ...], vnet: tuple[str, ...]) -> list[str]:
    """Alternative matches (one nft rule each) for a rule's addresses; "" matches everything."""
    if "*" in where:
        return [""]
    matches = []
    if VIRTUAL_NETWORK in where:
        matches.append(f"ip {field} {_prefixes(vnet)}")
    if INTERNET in where:
        matches.append(f"ip {field} != {_prefixes(vnet)}")
    tags = (VIRTUAL_NETWORK, INTERNET)
    plain = [PLATFORM_ADDRESS if w == LOAD_BALANCER else w for w in where if w not in tags]
    if plain:
        everywhere = any(IPv4Network(prefix).prefixlen == 0 for prefix in plain)
        matches.append("" if everywhere else f"ip {field} {_prefixes(plain)}")
    return matches


def _prefixes(prefixes: Iterable[str]) -> str:
    return as_set(str(network) for network in collapse_addresses(map(IPv4Network, prefixes)))


def _protocol_and_ports(rule: SecurityRule) -> str:
    fields = (("sport", rule.source_ports), ("dport", rule.destination_ports))
    ports = [f"th {field} {_ports(ranges)}" for field, ranges in fields if "*" not in ranges]
    if rule.protocol == "Icmp" and ports:
        return "meta l4proto icmp meta l4proto tcp"  # ICMP has no ports: matches nothing
    if rule.protocol == "*":
        protocol = "meta l4proto { tcp, udp }" if ports else ""
    else:
        protocol = f"meta l4proto {rule.protocol.lower()}"
    return " ".join([protocol, *ports]).strip()


def _ports(ranges: tuple[str, ...]) -> str:
    merged: list[tuple[int, int]] = []
    for low, high in sorted(map(port_range, ranges)):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(high, merged[-1][1]))
        else:
            merged.append((low, high))
    return as_set(str(low) if low == high else f"{low}-{high}" for low, high in merged)
