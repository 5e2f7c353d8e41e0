"""What Azure refuses about network resources without looking at anything else."""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from itertools import combinations
from typing import Any

from lab.azure.validate import items, known
from lab.net.topology import SERVICE_TAGS, port_range
from lab.rpc.provider import Failure

Properties = dict[str, Any]


def virtual_network(p: Properties) -> Iterator[Failure]:
    path = "addressSpace.addressPrefixes"
    prefixes = items(p, "addressSpace", "addressPrefixes")
    yield from _cidrs(path, prefixes)
    for one, other in _overlaps(prefixes):
        yield Failure(
            path,
            f"AddressPrefixesOverlap: address prefixes {one} and {other} of virtual network "
            f"'{p['virtualNetworkName']}' overlap.",
        )


def subnet(p: Properties) -> Iterator[Failure]:
    prefix = known(p, "addressPrefix")
    if prefix is None:
        return
    failures = list(_cidrs("addressPrefix", [prefix]))
    yield from failures
    if not failures and IPv4Network(prefix).prefixlen > 29:
        yield Failure(
            "addressPrefix",
            f"SubnetMustBeLargerThanSlash29: {prefix} is too small; Azure keeps five addresses "
            "of every subnet for itself.",
        )


def network_security_group(p: Properties) -> Iterator[Failure]:
    rules = items(p, "securityRules")
    for index, rule in enumerate(rules):
        yield from _rule(f"securityRules[{index}]", rule)
    for one, other in combinations(rules, 2):
        if known(one, "name") is not None and known(one, "name") == known(other, "name"):
            yield Failure("securityRules", f"InvalidRequestFormat: two rules named {one['name']}.")
        same = [known(rule, key) for key in ("priority", "direction") for rule in (one, other)]
        if None not in same and same[0] == same[1] and same[2] == same[3]:
            yield Failure(
                "securityRules",
                f"SecurityRuleConflict: Security rule {one['name']} conflicts with rule "
                f"{other['name']}. Rules cannot have the same Priority and Direction. To learn "
                "more, see aka.ms/nsgrules.",
            )


def _rule(path: str, rule: Properties) -> Iterator[Failure]:
    priority = known(rule, "priority")
    if priority is not None and not 100 <= priority <= 4096:
        yield Failure(
            f"{path}.priority",
            f"SecurityRuleInvalidPriority: Security rule has invalid priority. Value provided: "
            f"{priority} Allowed range: 100-4096.",
        )
    for side in ("source", "destination"):
        yield from _either(path, rule, f"{side}AddressPrefix", f"{side}AddressPrefixes")
        yield from _either(path, rule, f"{side}PortRange", f"{side}PortRanges")
        yield from _addresses(path, rule, f"{side}AddressPrefix")
        yield from _ports(path, rule, f"{side}PortRange")


def _either(path: str, rule: Properties, one: str, many: str) -> Iterator[Failure]:
    given = [name for name in (one, many) if rule.get(name)]
    if len(given) != 1:
        yield Failure(
            path,
            f"SecurityRuleParameterInvalid: a security rule takes exactly one of {one} and {many}.",
        )


def _addresses(path: str, rule: Properties, one: str) -> Iterator[Failure]:
    single = known(rule, one)
    several = items(rule, f"{one}es")
    if single is not None and single != "*" and single not in SERVICE_TAGS:
        yield from _address(f"{path}.{one}", single)
    for prefix in several:
        if prefix in ("*", *SERVICE_TAGS):
            yield Failure(
                f"{path}.{one}es",
                "SecurityRuleParameterContainsUnsupportedValue: service tags and * go into "
                f"{one}, alone; {one}es takes addresses only.",
            )
        else:
            yield from _address(f"{path}.{one}es", prefix)
    for one_prefix, other in _overlaps(several):
        yield Failure(
            f"{path}.{one}es",
            "OverlappingSubnetsNotPermittedInSecurityRule: Security rule parameter "
            f"{one}es cannot specify overlapping prefixes: {one_prefix} and {other}.",
        )


def _address(path: str, text: str) -> Iterator[Failure]:
    try:
        IPv4Network(text)
    except ValueError:
        yield Failure(
            path,
            "SecurityRuleInvalidAddressPrefix: Security rule has invalid Address prefix. Value "
            f"provided: {text}",
        )


def _ports(path: str, rule: Properties, one: str) -> Iterator[Failure]:
    single = known(rule, one)
    for ports in [*([single] if single is not None else []), *items(rule, f"{one}s")]:
        try:
            port_range(ports)
        except ValueError:
            yield Failure(
                f"{path}.{one}",
                "SecurityRuleInvalidPortRange: Security rule has invalid Port range. Value "
                f"provided: {ports}. Value should be an integer OR integer range with '-' "
                "delimiter. Valid range 0-65535.",
            )


def public_ip_address(p: Properties) -> Iterator[Failure]:
    yield from _idle(p, 30)


def nat_gateway(p: Properties) -> Iterator[Failure]:
    if len(items(p, "zones")) > 1:
        yield Failure("zones", "InvalidParameter: a NAT gateway of this SKU is in one zone.")
    yield from _idle(p, 120)


def _idle(p: Properties, most: int) -> Iterator[Failure]:
    minutes = known(p, "idleTimeoutInMinutes")
    if minutes is not None and not 4 <= minutes <= most:
        yield Failure(
            "idleTimeoutInMinutes",
            f"InvalidIdleTimeout: the idle timeout must be from 4 to {most} minutes.",
        )


def network_interface(p: Properties) -> Iterator[Failure]:
    configurations = items(p, "ipConfigurations")
    if len(configurations) > 1:
        yield Failure("ipConfigurations", "NotSupportedByLab: the lab gives a NIC one address.")
    for index, configuration in enumerate(configurations):
        path = f"ipConfigurations[{index}].privateIPAddress"
        address = known(configuration, "privateIPAddress")
        static = known(configuration, "privateIPAllocationMethod") == "Static"
        if static and "privateIPAddress" not in configuration:
            yield Failure(
                path,
                "StaticPrivateIPAddressMustBeSpecified: Static allocation needs an address.",
            )
        if address is not None:
            try:
                IPv4Address(address)
            except ValueError:
                yield Failure(path, f"InvalidIPAddressFormat: {address} is not an address.")


def _cidrs(path: str, prefixes: list[str]) -> Iterator[Failure]:
    for prefix in prefixes:
        try:
            if "/" not in prefix:
                raise ValueError(prefix)
            IPv4Network(prefix)
        except ValueError:
            yield Failure(
                path,
                f"InvalidCIDRNotation: The address prefix {prefix} has an invalid CIDR notation. "
                "For the given prefix length, the address prefix should be its first address.",
            )


def _overlaps(prefixes: list[str]) -> Iterator[tuple[str, str]]:
    networks = []
    for prefix in prefixes:
        try:
            networks.append(IPv4Network(prefix))
        except ValueError:
            continue
    for one, other in combinations(networks, 2):
        if one.overlaps(other):
            yield str(one), str(other)
