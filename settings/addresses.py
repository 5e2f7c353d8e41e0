"""Layout of the virtual network: which part of vnetCidr each role gets. Pure."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

# Azure accepts nothing smaller and keeps five addresses of every subnet for itself:
# network, gateway (.1), two for DNS (.2, .3), broadcast.
SMALLEST_SUBNET_PREFIX = 29
FIRST_USABLE_HOST = 4
# One machine per subnet: a /24 leaves room for more without eating up a small network.
PREFERRED_SUBNET_PREFIX = 24


@dataclass(frozen=True)
class AddressPlan:
    """Subnets of both roles and the static private address of each machine."""

    postgres_subnet: IPv4Network
    barman_subnet: IPv4Network
    postgres_address: IPv4Address
    barman_address: IPv4Address


def plan_addresses(vnet: IPv4Network) -> AddressPlan:
    """Lay out `vnet` as its first two equal subnets, at most a /24 each.

    Raises ValueError when `vnet` cannot hold two subnets of the smallest size Azure accepts.
    """
    prefix = max(PREFERRED_SUBNET_PREFIX, vnet.prefixlen + 1)
    if prefix > SMALLEST_SUBNET_PREFIX:
        raise ValueError(
            f"{vnet} is too small: two subnets of /{SMALLEST_SUBNET_PREFIX} need a "
            f"/{SMALLEST_SUBNET_PREFIX - 1} or larger"
        )
    subnets = vnet.subnets(new_prefix=prefix)
    postgres, barman = next(subnets), next(subnets)
    return AddressPlan(
        postgres_subnet=postgres,
        barman_subnet=barman,
        postgres_address=postgres.network_address + FIRST_USABLE_HOST,
        barman_address=barman.network_address + FIRST_USABLE_HOST,
    )
