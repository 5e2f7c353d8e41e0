"""Properties of virtual networks and what hangs on them."""

from typing import ClassVar, Literal

from lab.azure.models.base import Name, Resource, Strict, Text, Zone


class AddressSpace(Strict):
    sdk: ClassVar[str] = "network.AddressSpaceArgs"

    addressPrefixes: list[Text]


class VirtualNetwork(Resource):
    sdk: ClassVar[str] = "network.VirtualNetworkInitArgs"

    virtualNetworkName: Name
    addressSpace: AddressSpace
    # The SDK itself sends both, false; the lab has neither service.
    enableDdosProtection: Literal[False] | None = None
    enableVmProtection: Literal[False] | None = None


class GroupReference(Strict):
    sdk: ClassVar[str] = "network.NetworkSecurityGroupArgs"

    id: Text


class SubResource(Strict):
    sdk: ClassVar[str] = "network.SubResourceArgs"

    id: Text


class SubnetDefaults(Strict):
    """What the SDK itself sends wherever a subnet is named, in a mere reference too; the lab has
    no private endpoints for it to apply to."""

    sdk: ClassVar[str] = "network.SubnetArgs"

    privateEndpointNetworkPolicies: Literal["Disabled"] | None = None
    privateLinkServiceNetworkPolicies: Literal["Enabled"] | None = None


class Subnet(SubnetDefaults):
    sdk: ClassVar[str] = "network.SubnetInitArgs"

    resourceGroupName: Name
    virtualNetworkName: Name
    subnetName: Name
    addressPrefix: Text
    networkSecurityGroup: GroupReference | None = None
    natGateway: SubResource | None = None
    defaultOutboundAccess: bool | None = None


class SecurityRule(Strict):
    sdk: ClassVar[str] = "network.SecurityRuleArgs"

    name: Name
    description: str | None = None
    priority: int
    direction: Literal["Inbound", "Outbound"]
    access: Literal["Allow", "Deny"]
    protocol: Literal["Tcp", "Udp", "Icmp", "*"]
    sourceAddressPrefix: Text | None = None
    sourceAddressPrefixes: list[Text] | None = None
    sourcePortRange: Text | None = None
    sourcePortRanges: list[Text] | None = None
    destinationAddressPrefix: Text | None = None
    destinationAddressPrefixes: list[Text] | None = None
    destinationPortRange: Text | None = None
    destinationPortRanges: list[Text] | None = None


class NetworkSecurityGroup(Resource):
    sdk: ClassVar[str] = "network.NetworkSecurityGroupInitArgs"

    networkSecurityGroupName: Name
    securityRules: list[SecurityRule] | None = None


class PublicIPAddressSku(Strict):
    sdk: ClassVar[str] = "network.PublicIPAddressSkuArgs"

    # Basic addresses were retired on 2025-09-30.
    name: Literal["Standard"]
    tier: Literal["Regional"] | None = None


class PublicIPAddress(Resource):
    sdk: ClassVar[str] = "network.PublicIPAddressInitArgs"

    publicIpAddressName: Name
    publicIPAllocationMethod: Literal["Static"]
    publicIPAddressVersion: Literal["IPv4"] | None = None
    sku: PublicIPAddressSku
    idleTimeoutInMinutes: int | None = None
    zones: list[Zone] | None = None


class NatGatewaySku(Strict):
    sdk: ClassVar[str] = "network.NatGatewaySkuArgs"

    name: Literal["Standard"]


class NatGateway(Resource):
    sdk: ClassVar[str] = "network.NatGatewayInitArgs"

    natGatewayName: Name
    sku: NatGatewaySku
    publicIpAddresses: list[SubResource] | None = None
    idleTimeoutInMinutes: int | None = None
    zones: list[Zone] | None = None


class SubnetReference(SubnetDefaults):
    id: Text


class PublicIPAddressReference(Strict):
    sdk: ClassVar[str] = "network.PublicIPAddressArgs"

    id: Text


class IPConfiguration(Strict):
    sdk: ClassVar[str] = "network.NetworkInterfaceIPConfigurationArgs"

    name: Name
    primary: bool | None = None
    subnet: SubnetReference
    privateIPAllocationMethod: Literal["Static", "Dynamic"] | None = None
    privateIPAddress: Text | None = None
    privateIPAddressVersion: Literal["IPv4"] | None = None
    publicIPAddress: PublicIPAddressReference | None = None


class NetworkInterface(Resource):
    sdk: ClassVar[str] = "network.NetworkInterfaceArgs"

    networkInterfaceName: Name
    enableAcceleratedNetworking: bool | None = None
    ipConfigurations: list[IPConfiguration]
