"""The virtual network: one subnet per role, least rules, NAT out, at most one way in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
from pulumi_azure_native import network, resources

from components import address_space, zone
from components.naming import Naming
from components.security_rules import Rule, barman_rules, postgres_rules
from settings.addresses import AddressPlan
from settings.alerting import Receiver
from settings.model import Settings


@dataclass(frozen=True)
class NetworkArgs:
    """`prefix` begins every Azure name. `public_ssh` puts one public IP at the Barman machine's
    disposal, as jump host; without it, admins reach both machines directly from inside.
    `receivers` take alerts at private addresses. `zones` has the availability zone of addresses and
    NAT gateway; without it Azure chooses."""

    prefix: str
    location: str
    zones: Sequence[str] | None
    vnet_cidr: IPv4Network
    plan: AddressPlan
    client_cidrs: Sequence[IPv4Network]
    admin_cidrs: Sequence[IPv4Network]
    receivers: Sequence[Receiver]
    pooler: bool
    public_ssh: bool
    tags: Mapping[str, str]

    @classmethod
    def of(cls, settings: Settings, naming: Naming) -> "NetworkArgs":
        """As `settings` have it."""
        return cls(
            prefix=naming.prefix,
            location=settings.location,
            zones=settings.zones,
            vnet_cidr=settings.vnetCidr,
            plan=settings.addresses,
            client_cidrs=settings.clientCidrs,
            admin_cidrs=settings.adminCidrs,
            receivers=settings.private_receivers,
            pooler=settings.pooler,
            public_ssh=settings.sshAccess == "public",
            tags=naming.tags,
        )


class Network(pulumi.ComponentResource):
    """Resource group, network, subnets with their security groups, NAT gateway, public IP."""

    resource_group_name: pulumi.Output[str]
    postgres_subnet_id: pulumi.Output[str]
    barman_subnet_id: pulumi.Output[str]
    jump_ip: network.PublicIPAddress | None

    def __init__(
        self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("postgres-barman:index:Network", name, None, opts)
        self._name = name
        self._args = args
        self._stays_in_zone = pulumi.ResourceHookBinding(before_update=[zone.hook(f"{name}-zone")])
        group = resources.ResourceGroup(
            f"{name}-group",
            resource_group_name=args.prefix,
            location=args.location,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.resource_group_name = group.name
        vnet = network.VirtualNetwork(
            f"{name}-vnet",
            virtual_network_name=f"{args.prefix}-vnet",
            resource_group_name=group.name,
            location=args.location,
            address_space=network.AddressSpaceArgs(address_prefixes=[str(args.vnet_cidr)]),
            tags=args.tags,
            opts=pulumi.ResourceOptions(
                parent=self,
                hooks=pulumi.ResourceHookBinding(
                    before_update=[address_space.hook(f"{name}-addresses")]
                ),
            ),
        )
        nat_ip = self._public_ip("nat")
        nat = network.NatGateway(
            f"{name}-nat",
            nat_gateway_name=f"{args.prefix}-nat",
            resource_group_name=group.name,
            location=args.location,
            sku=network.NatGatewaySkuArgs(name=network.NatGatewaySkuName.STANDARD),
            public_ip_addresses=[network.SubResourceArgs(id=nat_ip.id)],
            zones=args.zones,
            tags=args.tags,
            opts=pulumi.ResourceOptions(parent=self, hooks=self._stays_in_zone),
        )
        clients = [str(cidr) for cidr in args.client_cidrs]
        admins = [str(cidr) for cidr in args.admin_cidrs]
        direct_admins = [] if args.public_ssh else admins
        postgres = self._subnet(
            "postgres",
            args.plan.postgres_subnet,
            vnet,
            nat,
            postgres_rules(args.plan, clients, direct_admins, pooler=args.pooler),
        )
        barman = self._subnet(
            "barman",
            args.plan.barman_subnet,
            vnet,
            nat,
            barman_rules(args.plan, admins, args.receivers, pooler=args.pooler),
            # Azure changes one subnet of a network at a time.
            after=postgres,
        )
        self.postgres_subnet_id = postgres.id
        self.barman_subnet_id = barman.id
        self.jump_ip = self._public_ip("jump") if args.public_ssh else None
        self.register_outputs({"resourceGroupName": self.resource_group_name})

    def _public_ip(self, purpose: str) -> network.PublicIPAddress:
        return network.PublicIPAddress(
            f"{self._name}-{purpose}-ip",
            public_ip_address_name=f"{self._args.prefix}-{purpose}-ip",
            resource_group_name=self.resource_group_name,
            location=self._args.location,
            sku=network.PublicIPAddressSkuArgs(name=network.PublicIPAddressSkuName.STANDARD),
            public_ip_allocation_method=network.IPAllocationMethod.STATIC,
            public_ip_address_version=network.IPVersion.I_PV4,
            zones=self._args.zones,
            tags=self._args.tags,
            opts=pulumi.ResourceOptions(parent=self, hooks=self._stays_in_zone),
        )

    def _subnet(
        self,
        role: str,
        prefix: IPv4Network,
        vnet: network.VirtualNetwork,
        nat: network.NatGateway,
        rules: Sequence[Rule],
        after: pulumi.Resource | None = None,
    ) -> network.Subnet:
        group = network.NetworkSecurityGroup(
            f"{self._name}-{role}-nsg",
            network_security_group_name=f"{self._args.prefix}-{role}-nsg",
            resource_group_name=self.resource_group_name,
            location=self._args.location,
            security_rules=[_security_rule(rule) for rule in rules],
            tags=self._args.tags,
            # Its rules name the network's addresses: when those are refused, it stays as it is.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[vnet]),
        )
        return network.Subnet(
            f"{self._name}-{role}-subnet",
            subnet_name=role,
            virtual_network_name=vnet.name,
            resource_group_name=self.resource_group_name,
            address_prefix=str(prefix),
            network_security_group=network.NetworkSecurityGroupArgs(id=group.id),
            nat_gateway=network.SubResourceArgs(id=nat.id),
            default_outbound_access=False,
            opts=pulumi.ResourceOptions(parent=self, depends_on=[after] if after else None),
        )


def _security_rule(rule: Rule) -> network.SecurityRuleArgs:
    several = len(rule.sources) > 1
    return network.SecurityRuleArgs(
        name=rule.name,
        description=rule.description,
        priority=rule.priority,
        direction=rule.direction,
        access=rule.access,
        protocol=rule.protocol,
        source_address_prefix=None if several else rule.sources[0],
        source_address_prefixes=list(rule.sources) if several else None,
        source_port_range="*",
        destination_address_prefix=rule.destination,
        destination_port_range=rule.port,
    )
