"""The resource types the lab provides, each with all that is particular to it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from lab.azure import arm_types as types
from lab.azure import rules_authorization, rules_compute, rules_monitor, rules_network
from lab.azure.arm_id import ArmId, parse
from lab.azure.behave_compute import Disks, Groups
from lab.azure.behave_interface import Interfaces
from lab.azure.behave_locks import Locks
from lab.azure.behave_machine import Machines
from lab.azure.behave_monitor import ActionGroups, ActivityLogAlerts, MetricAlerts
from lab.azure.behave_network import (
    NatGateways,
    PublicAddresses,
    SecurityGroups,
    Subnets,
    VirtualNetworks,
)
from lab.azure.behaviour import Behaviour
from lab.azure.models import authorization, compute, monitor, network, resources
from lab.azure.models.base import Strict
from lab.rpc.diff import top
from lab.rpc.provider import Failure


@dataclass(frozen=True)
class Kind:
    """One resource type.

    `names` are the properties that make up its id below the resource group; an `extension` lies on
    the resource that its property `scope` names. A change of these, or of one in `replaces`, makes
    azure-native replace the resource instead of updating it.
    """

    arm_type: str
    names: tuple[str, ...]
    model: type[Strict]
    rules: Callable[[dict[str, Any]], Iterator[Failure]]
    behaviour: Behaviour
    replaces: frozenset[str] = frozenset()
    extension: bool = False

    def identity(self, inputs: dict[str, Any]) -> ArmId:
        """The ARM id that plain inputs name."""
        names = tuple(inputs[name] for name in self.names)
        if self.extension:
            scope = parse(inputs["scope"])
            return ArmId(scope.group, self.arm_type, names, scope)
        return ArmId(inputs["resourceGroupName"], self.arm_type, names)

    def replaced_by(self, path: str) -> bool:
        """Whether a change at this property path needs a new resource."""
        return top(path) in {"resourceGroupName", "scope", *self.names, *self.replaces}

    @property
    def state(self) -> dict[str, Any]:
        """The output that says that it exists, where Azure has one."""
        if self.extension:
            return {}
        done = {"provisioningState": "Succeeded"}
        return done if self.arm_type else {"properties": done}

    @property
    def has_location(self) -> bool:
        return "location" in self.model.model_fields


KINDS = {
    "azure-native:resources:ResourceGroup": Kind(
        types.GROUP,
        (),
        resources.ResourceGroup,
        rules_compute.resource_group,
        Groups(),
        frozenset({"location"}),
    ),
    "azure-native:network:VirtualNetwork": Kind(
        types.VNET,
        ("virtualNetworkName",),
        network.VirtualNetwork,
        rules_network.virtual_network,
        VirtualNetworks(),
        frozenset({"location"}),
    ),
    "azure-native:network:Subnet": Kind(
        types.SUBNET,
        ("virtualNetworkName", "subnetName"),
        network.Subnet,
        rules_network.subnet,
        Subnets(),
    ),
    "azure-native:network:NetworkSecurityGroup": Kind(
        types.NSG,
        ("networkSecurityGroupName",),
        network.NetworkSecurityGroup,
        rules_network.network_security_group,
        SecurityGroups(),
    ),
    "azure-native:network:PublicIPAddress": Kind(
        types.PUBLIC_IP,
        ("publicIpAddressName",),
        network.PublicIPAddress,
        rules_network.public_ip_address,
        PublicAddresses(),
        frozenset({"location", "publicIPAddressVersion", "sku"}),
    ),
    "azure-native:network:NatGateway": Kind(
        types.NAT,
        ("natGatewayName",),
        network.NatGateway,
        rules_network.nat_gateway,
        NatGateways(),
    ),
    "azure-native:network:NetworkInterface": Kind(
        types.NIC,
        ("networkInterfaceName",),
        network.NetworkInterface,
        rules_network.network_interface,
        Interfaces(),
    ),
    "azure-native:compute:Disk": Kind(
        types.DISK,
        ("diskName",),
        compute.Disk,
        rules_compute.disk,
        Disks(),
        frozenset({"location"}),
    ),
    "azure-native:compute:VirtualMachine": Kind(
        types.VM,
        ("vmName",),
        compute.VirtualMachine,
        rules_compute.virtual_machine,
        Machines(),
        frozenset({"location"}),
    ),
    "azure-native:authorization:ManagementLockByScope": Kind(
        types.LOCK,
        ("lockName",),
        authorization.ManagementLockByScope,
        rules_authorization.management_lock,
        Locks(),
        extension=True,
    ),
    "azure-native:monitor:ActionGroup": Kind(
        types.ACTION_GROUP,
        ("actionGroupName",),
        monitor.ActionGroup,
        rules_monitor.action_group,
        ActionGroups(),
    ),
    "azure-native:monitor:MetricAlert": Kind(
        types.METRIC_ALERT,
        ("ruleName",),
        monitor.MetricAlert,
        rules_monitor.metric_alert,
        MetricAlerts(),
    ),
    "azure-native:monitor:ActivityLogAlert": Kind(
        types.ACTIVITY_ALERT,
        ("activityLogAlertName",),
        monitor.ActivityLogAlert,
        rules_monitor.activity_log_alert,
        ActivityLogAlerts(),
    ),
}

BY_TYPE = {kind.arm_type: kind for kind in KINDS.values()}
