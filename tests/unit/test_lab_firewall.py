"""Security groups: Azure's reading, the rendered script, and that the two are one."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.names import bridge
from lab.net.firewall import allows, render
from lab.net.topology import (
    Access,
    Direction,
    Nic,
    Protocol,
    SecurityRule,
    Subnet,
    Topology,
    VirtualNetwork,
    port_range,
)

GOLDEN = Path(__file__).with_name("golden") / "lab_firewall.nft"
ANY = ("*",)
VNET = "10.0.0.0/16"
VNETS = (VNET,)


def rule(
    name: str,
    priority: int,
    access: Access,
    protocol: Protocol,
    sources: tuple[str, ...] = ANY,
    ports: tuple[str, ...] = ANY,
    direction: Direction = "Inbound",
) -> SecurityRule:
    return SecurityRule(name, priority, direction, access, protocol, sources, ANY, ANY, ports)


TOPOLOGY = Topology(
    networks=(VirtualNetwork("v", VNETS), VirtualNetwork("other", ("10.5.0.0/16",))),
    subnets=(
        Subnet(
            "postgres",
            "v",
            "10.0.0.0/24",
            (
                # deliberately not in the order of their priorities
                rule("deny-vnet", 4000, "Deny", "*", ("VirtualNetwork",)),
                rule("postgres", 110, "Allow", "Tcp", ("10.0.1.0/24", "10.0.1.4"), ("5432",)),
            ),
            "198.18.3.10",
            False,
        ),
        Subnet(
            "barman",
            "v",
            "10.0.1.0/24",
            (
                rule("ssh", 100, "Allow", "Tcp", ("Internet", "10.9.0.0/16"), ("22", "20-30")),
                rule("ping", 120, "Allow", "Icmp"),
                rule("no-mail", 130, "Deny", "Tcp", ANY, ("25",), "Outbound"),
            ),
            None,
            False,
        ),
        Subnet("open", "other", "10.5.1.0/24", None, None, True),
    ),
    nics=(Nic("barman", "v/barman", "10.0.1.4", "00:0d:3a:00:00:01", "198.18.3.11"),),
    peered=("10.77.0.9/32",),
)


def test_the_whole_script() -> None:
    assert render(TOPOLOGY, "internet*", "192.0.2.53") == GOLDEN.read_text()


def test_no_network_lets_nothing_through() -> None:
    script = render(Topology(), "internet*")
    assert script.count("policy drop") == 2
    assert "jump" not in script


@pytest.mark.parametrize("topology", [TOPOLOGY, Topology()])
def test_nft_takes_the_script(topology: Topology) -> None:
    if not shutil.which("nft") or os.geteuid() != 0:
        pytest.skip("needs nft and root")
    script = render(topology, "internet*", "192.0.2.53")
    checked = subprocess.run(
        ["nft", "-c", "-f", "-"], input=script, text=True, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr


# --- Azure's documented defaults -----------------------------------------------------------------

DEFAULTS: list[tuple[Direction, str, str, bool]] = [
    ("Inbound", "10.0.0.4", "10.0.1.4", True),  # AllowVnetInBound
    ("Inbound", "168.63.129.16", "10.0.1.4", True),  # AllowAzureLoadBalancerInBound
    ("Inbound", "203.0.113.9", "10.0.1.4", False),  # DenyAllInBound
    ("Outbound", "10.0.0.4", "10.0.1.4", True),  # AllowVnetOutBound
    ("Outbound", "10.0.0.4", "203.0.113.9", True),  # AllowInternetOutBound
]


@pytest.mark.parametrize(("direction", "source", "destination", "allowed"), DEFAULTS)
def test_an_empty_group(direction: Direction, source: str, destination: str, allowed: bool) -> None:
    assert allows((), direction, "Tcp", source, destination, 22, VNETS) is allowed


def test_without_a_group_only_the_internet_is_shut_out() -> None:
    assert allows(None, "Inbound", "Tcp", "10.0.0.4", "10.0.1.4", 22, VNETS)
    assert not allows(None, "Inbound", "Tcp", "203.0.113.9", "10.0.1.4", 22, VNETS)
    assert allows(None, "Outbound", "Tcp", "10.0.0.4", "203.0.113.9", 22, VNETS)


def test_a_denial_with_a_lower_number_wins_over_a_later_permission() -> None:
    deny, allow = rule("d", 100, "Deny", "Tcp", ports=("22",)), rule("a", 200, "Allow", "Tcp")
    for rules in ((deny, allow), (allow, deny)):
        assert not allows(rules, "Inbound", "Tcp", "10.0.0.4", "10.0.1.4", 22, VNETS)
        assert allows(rules, "Inbound", "Tcp", "203.0.113.9", "10.0.1.4", 23, VNETS)
    swapped = (replace(deny, priority=300), allow)
    assert allows(swapped, "Inbound", "Tcp", "10.0.0.4", "10.0.1.4", 22, VNETS)


@pytest.mark.parametrize(
    "change",
    [{"priority": 99}, {"destination_ports": ("70000",)}, {"sources": ("10.0.0.1/8",)}],
)
def test_what_azure_refuses_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"priority|port|host bits"):
        replace(rule("r", 100, "Allow", "Tcp"), **change)  # pyright: ignore[reportArgumentType]


# --- random groups -------------------------------------------------------------------------------

# Few values, so that rules and packets meet often.
addresses = st.sampled_from(
    ["10.0.0.4", "10.0.0.5", "10.0.1.4", "10.9.0.1", "203.0.113.9", "168.63.129.16"]
)
prefixes = st.sampled_from(
    ["10.0.0.4", "10.0.0.0/24", "10.0.0.0/16", "10.0.1.0/24", "203.0.113.0/24", "0.0.0.0/0"]
)
tags = st.sampled_from(["*", "VirtualNetwork", "Internet", "AzureLoadBalancer"])
where = st.lists(prefixes | tags, min_size=1, max_size=3).map(tuple)
ports = st.lists(
    st.sampled_from(["*", "22", "5432", "20-30", "1000-6000", "23"]), min_size=1, max_size=3
).map(tuple)
directions = st.sampled_from(["Inbound", "Outbound"])
protocols = st.sampled_from(["Tcp", "Udp", "Icmp"])
packets = st.tuples(
    protocols, addresses, addresses, st.sampled_from([22, 5432, 25, 999]), st.just(50000)
)
drafts = st.builds(
    SecurityRule,
    name=st.just("r"),
    priority=st.just(100),
    direction=directions,
    access=st.sampled_from(["Allow", "Deny"]),
    protocol=protocols | st.just("*"),
    sources=where,
    source_ports=st.just(ANY) | ports,
    destinations=where,
    destination_ports=ports,
)


@st.composite
def groups(draw: st.DrawFn) -> tuple[SecurityRule, ...]:
    rules = draw(st.lists(drafts, max_size=6))
    numbers = draw(
        st.lists(st.integers(100, 4096), min_size=len(rules), max_size=len(rules), unique=True)
    )
    return tuple(replace(r, priority=n) for r, n in zip(rules, numbers, strict=True))


def azure(
    rules: tuple[SecurityRule, ...],
    direction: Direction,
    packet: tuple[Protocol, str, str, int, int],
) -> bool:
    """Azure's documentation, sentence by sentence, without a thought for how `allows` does it."""
    protocol, source, destination, port, source_port = packet

    def holds(address: str, one: str) -> bool:
        in_vnet = IPv4Address(address) in IPv4Network(VNET)
        by_tag = {
            "*": True,
            "VirtualNetwork": in_vnet,
            "Internet": not in_vnet,
            "AzureLoadBalancer": address == "168.63.129.16",
        }
        if one in by_tag:
            return by_tag[one]
        return IPv4Address(address) in IPv4Network(one)

    def has(number: int, one: str) -> bool:
        low, high = port_range(one)
        return one == "*" or (protocol != "Icmp" and low <= number <= high)

    verdicts = {
        r.priority: r.access == "Allow"
        for r in rules
        if r.direction == direction
        and r.protocol in {"*", protocol}
        and any(holds(source, one) for one in r.sources)
        and any(holds(destination, one) for one in r.destinations)
        and any(has(port, one) for one in r.destination_ports)
        and any(has(source_port, one) for one in r.source_ports)
    }
    if verdicts:
        return verdicts[min(verdicts)]
    if holds(source, "VirtualNetwork") and holds(destination, "VirtualNetwork"):
        return True
    if direction == "Inbound":
        return holds(source, "AzureLoadBalancer")
    return holds(destination, "Internet")


@given(groups(), directions, packets)
def test_allows_is_azures_reading(
    rules: tuple[SecurityRule, ...],
    direction: Direction,
    packet: tuple[Protocol, str, str, int, int],
) -> None:
    assert verdict(rules, direction, packet) == azure(rules, direction, packet)


@given(groups(), directions, packets)
def test_the_script_says_what_allows_says(
    rules: tuple[SecurityRule, ...],
    direction: Direction,
    packet: tuple[Protocol, str, str, int, int],
) -> None:
    subnet = Subnet("s", "v", "0.0.0.0/0", rules, None, False)
    script = render(Topology((VirtualNetwork("v", VNETS),), (subnet,)), "internet*")
    side = "to" if direction == "Inbound" else "from"
    chain = script.split(f"chain {side}_{bridge('v/s')} {{")[1].split("\n\t}")[0]
    assert walk(chain, packet) == verdict(rules, direction, packet)


def verdict(
    rules: tuple[SecurityRule, ...],
    direction: Direction,
    packet: tuple[Protocol, str, str, int, int],
) -> bool:
    protocol, source, destination, port, source_port = packet
    return allows(rules, direction, protocol, source, destination, port, VNETS, source_port)


def walk(chain: str, packet: tuple[Protocol, str, str, int, int]) -> bool:
    """Take a packet through a rendered chain, as far as these chains' own vocabulary goes."""
    protocol, source, destination, port, source_port = packet
    matches = re.compile(
        r"(?P<field>ip saddr|ip daddr|meta l4proto|meta nfproto|th sport|th dport) "
        r"(?P<negated>!= )?(?P<wanted>\{ .*? \}|\S+) "
    )
    facts = {
        "ip saddr": source,
        "ip daddr": destination,
        "meta l4proto": protocol.lower(),
        "meta nfproto": "ipv4",
        "th sport": str(source_port),
        "th dport": str(port),
    }
    for line in chain.splitlines():
        text = line.strip().split(' comment "')[0] + " "
        if text.startswith("comment") or not text.strip():
            continue
        held = True
        for match in matches.finditer(text):
            wanted = match["wanted"].strip("{ }").split(", ")
            inside = any(covers(one, facts[match["field"]]) for one in wanted)
            held = held and inside != bool(match["negated"])
        if held:
            last = matches.sub("", text).strip()
            assert last in {"accept", "return", "drop"}, line
            return last != "drop"
    raise AssertionError("a chain must end in a verdict")


def covers(wanted: str, fact: str) -> bool:
    if "/" in wanted or wanted.count(".") == 3:
        return IPv4Address(fact) in IPv4Network(wanted)
    if fact.isdigit():
        low, high = port_range(wanted)
        return low <= int(fact) <= high
    return wanted == fact
