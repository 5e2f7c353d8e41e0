"""What the lab's network shall look like: the whole of it, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Literal

Direction = Literal["Inbound", "Outbound"]
Access = Literal["Allow", "Deny"]
Protocol = Literal["Tcp", "Udp", "Icmp", "*"]

VIRTUAL_NETWORK = "VirtualNetwork"
INTERNET = "Internet"
LOAD_BALANCER = "AzureLoadBalancer"
PLATFORM_ADDRESS = "168.63.129.16"  # Azure's resolver, and where its load balancer probes from
SERVICE_TAGS = (VIRTUAL_NETWORK, INTERNET, LOAD_BALANCER)


@dataclass(frozen=True)
class SecurityRule:
    """One rule of a network security group.

    Addresses are CIDR, an address, `*` or a service tag; ports are `*`, `22` or `1000-2000`.
    Raises ValueError for anything Azure would not accept either.
    """

    name: str
    priority: int
    direction: Direction
    access: Access
    protocol: Protocol
    sources: tuple[str, ...]
    source_ports: tuple[str, ...]
    destinations: tuple[str, ...]
    destination_ports: tuple[str, ...]

    def __post_init__(self) -> None:
        if not 100 <= self.priority <= 65500:
            raise ValueError(f"rule {self.name}: priority {self.priority} is not in 100..65500")
        for address in self.sources + self.destinations:
            if address != "*" and address not in SERVICE_TAGS:
                IPv4Network(address)
        for ports in self.source_ports + self.destination_ports:
            port_range(ports)
        for what in ("sources", "source_ports", "destinations", "destination_ports"):
            if not getattr(self, what):
                raise ValueError(f"rule {self.name}: no {what}")


def port_range(ports: str) -> tuple[int, int]:
    """First and last port of `*`, `22` or `1000-2000`. Raises ValueError."""
    if ports == "*":
        return 0, 65535
    first, _, last = ports.partition("-")
    low, high = int(first), int(last or first)
    if not 0 <= low <= high <= 65535:
        raise ValueError(f"'{ports}' is not a port or a range of ports")
    return low, high


@dataclass(frozen=True)
class Subnet:
    """`security_rules` None: no network security group. `nat_address`: the public address of its
    NAT gateway. `default_outbound`: Azure's implicit way out, where there is no other."""

    name: str
    vnet: str
    prefix: str
    security_rules: tuple[SecurityRule, ...] | None
    nat_address: str | None
    default_outbound: bool

    def __post_init__(self) -> None:
        IPv4Network(self.prefix)

    @property
    def key(self) -> str:
        """`network/subnet`: unique in a topology; what a Nic and a machine's interface name."""
        return f"{self.vnet}/{self.name}"

    @property
    def gateway(self) -> str:
        """First address of the prefix: the router, as in Azure."""
        return str(IPv4Network(self.prefix)[1])


@dataclass(frozen=True)
class Nic:
    """`subnet` is a Subnet's key."""

    name: str
    subnet: str
    address: str
    mac: str
    public_address: str | None = None


@dataclass(frozen=True)
class VirtualNetwork:
    name: str
    prefixes: tuple[str, ...]


@dataclass(frozen=True)
class Topology:
    """`peered`: prefixes of other networks joined to every virtual network (a test's clients);
    the provider leaves it empty, the fabric fills it in."""

    networks: tuple[VirtualNetwork, ...] = ()
    subnets: tuple[Subnet, ...] = ()
    nics: tuple[Nic, ...] = ()
    peered: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        keys = [subnet.key for subnet in self.subnets]
        if len(keys) != len(set(keys)):
            raise ValueError("two subnets of one virtual network have the same name")
        networks = {network.name for network in self.networks}
        prefixes = {subnet.key: IPv4Network(subnet.prefix) for subnet in self.subnets}
        for subnet in self.subnets:
            if subnet.vnet not in networks:
                raise ValueError(f"subnet {subnet.key}: no such virtual network")
        for nic in self.nics:
            if nic.subnet not in prefixes or IPv4Address(nic.address) not in prefixes[nic.subnet]:
                raise ValueError(f"NIC {nic.name}: {nic.address} is not in subnet {nic.subnet}")

    def vnet_prefixes(self, network: str) -> tuple[str, ...]:
        """The address space behind the tag `VirtualNetwork` as seen from one virtual network."""
        own = [prefix for vnet in self.networks if vnet.name == network for prefix in vnet.prefixes]
        return (*own, *self.peered)
