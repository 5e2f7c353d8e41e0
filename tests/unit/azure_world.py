"""A complete set of resources that Azure accepts, for tests to spoil one by one."""

import base64
from typing import Any

from lab.azure.arm_id import ArmId
from lab.azure.kinds import KINDS, Kind
from lab.azure.service import Azure
from lab.azure.store import Resource

GROUP = "rg-test"
PREFIX = "urn:pulumi:lab::project::"


def kind(name: str) -> Kind:
    """The kind with a short name such as `Subnet`."""
    return next(k for token, k in KINDS.items() if token.endswith(f":{name}"))


def identity(name: str, inputs: dict[str, Any] | None = None) -> ArmId:
    """The id of one of the resources below."""
    return kind(name).identity(inputs or RESOURCES[name])


def _id(name: str) -> dict[str, str]:
    return {"id": str(identity(name))}


RESOURCES: dict[str, dict[str, Any]] = {}
_BASE = {"resourceGroupName": GROUP, "tags": {"a": "b"}}

RESOURCES["ResourceGroup"] = {**_BASE, "location": "West Europe"}
RESOURCES["NetworkSecurityGroup"] = {
    **_BASE,
    "networkSecurityGroupName": "nsg",
    "securityRules": [
        {
            "name": "ssh",
            "priority": 100,
            "direction": "Inbound",
            "access": "Allow",
            "protocol": "Tcp",
            "sourceAddressPrefixes": ["192.0.2.0/24", "198.51.100.7"],
            "sourcePortRange": "*",
            "destinationAddressPrefix": "VirtualNetwork",
            "destinationPortRanges": ["22", "1000-2000"],
        }
    ],
}
RESOURCES["PublicIPAddress"] = {
    **_BASE,
    "publicIpAddressName": "pip",
    "publicIPAllocationMethod": "Static",
    "sku": {"name": "Standard", "tier": "Regional"},
    "zones": ["1"],
}
RESOURCES["NatGateway"] = {
    **_BASE,
    "natGatewayName": "nat",
    "sku": {"name": "Standard"},
    "publicIpAddresses": [_id("PublicIPAddress")],
    "idleTimeoutInMinutes": 10,
    "zones": ["1"],
}
RESOURCES["VirtualNetwork"] = {
    **_BASE,
    "virtualNetworkName": "vnet",
    "addressSpace": {"addressPrefixes": ["10.20.0.0/16"]},
}
RESOURCES["Subnet"] = {
    "resourceGroupName": GROUP,
    "virtualNetworkName": "vnet",
    "subnetName": "db",
    "addressPrefix": "10.20.1.0/24",
    "networkSecurityGroup": _id("NetworkSecurityGroup"),
    "natGateway": _id("NatGateway"),
    "defaultOutboundAccess": False,
}
RESOURCES["NetworkInterface"] = {
    **_BASE,
    "networkInterfaceName": "nic",
    "enableAcceleratedNetworking": True,
    "ipConfigurations": [
        {
            "name": "main",
            "primary": True,
            "subnet": _id("Subnet"),
            "privateIPAllocationMethod": "Static",
            "privateIPAddress": "10.20.1.10",
        }
    ],
}
RESOURCES["Disk"] = {
    **_BASE,
    "diskName": "disk",
    "creationData": {"createOption": "Empty"},
    "diskSizeGB": 32,
    "sku": {"name": "Premium_LRS"},
    "networkAccessPolicy": "DenyAll",
    "publicNetworkAccess": "Disabled",
    "zones": ["1"],
}
RESOURCES["VirtualMachine"] = {
    **_BASE,
    "vmName": "vm",
    "hardwareProfile": {"vmSize": "Standard_D2s_v3"},
    "networkProfile": {
        "networkInterfaces": [
            {**_id("NetworkInterface"), "primary": True, "deleteOption": "Detach"}
        ]
    },
    "osProfile": {
        "computerName": "vm",
        "adminUsername": "dbadmin",
        "customData": base64.b64encode(b"#cloud-config\n").decode(),
        "linuxConfiguration": {
            "disablePasswordAuthentication": True,
            "provisionVMAgent": True,
            "patchSettings": {"patchMode": "ImageDefault", "assessmentMode": "ImageDefault"},
            "ssh": {
                "publicKeys": [
                    {
                        "path": "/home/dbadmin/.ssh/authorized_keys",
                        "keyData": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me",
                    }
                ]
            },
        },
    },
    "securityProfile": {
        "securityType": "TrustedLaunch",
        "uefiSettings": {"secureBootEnabled": True, "vTpmEnabled": True},
    },
    "storageProfile": {
        "imageReference": {
            "publisher": "Debian",
            "offer": "debian-13",
            "sku": "13-gen2",
            "version": "latest",
        },
        "osDisk": {
            "name": "os",
            "createOption": "FromImage",
            "caching": "ReadWrite",
            "deleteOption": "Delete",
            "managedDisk": {"storageAccountType": "Premium_LRS"},
        },
        "dataDisks": [
            {
                "lun": 0,
                "createOption": "Attach",
                "caching": "None",
                "deleteOption": "Detach",
                "managedDisk": _id("Disk"),
            }
        ],
    },
    "diagnosticsProfile": {"bootDiagnostics": {"enabled": True}},
    "zones": ["1"],
}
RESOURCES["ActionGroup"] = {
    **_BASE,
    "actionGroupName": "operators",
    "location": "Global",
    "groupShortName": "operators",
    "enabled": True,
    "emailReceivers": [
        {"name": "dba", "emailAddress": "dba@example.org", "useCommonAlertSchema": True}
    ],
}
RESOURCES["MetricAlert"] = {
    **_BASE,
    "ruleName": "available",
    "location": "global",
    "description": "It does not run.",
    "enabled": True,
    "severity": 0,
    "scopes": [_id("VirtualMachine")["id"]],
    "evaluationFrequency": "PT1M",
    "windowSize": "PT5M",
    "criteria": {
        "odataType": "Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
        "allOf": [
            {
                "criterionType": "StaticThresholdCriterion",
                "name": "available",
                "metricNamespace": "Microsoft.Compute/virtualMachines",
                "metricName": "VmAvailabilityMetric",
                "operator": "LessThan",
                "threshold": 1,
                "timeAggregation": "Average",
            }
        ],
    },
    "autoMitigate": True,
    "actions": [{"actionGroupId": _id("ActionGroup")["id"]}],
}
RESOURCES["ActivityLogAlert"] = {
    **_BASE,
    "activityLogAlertName": "health",
    "location": "global",
    "enabled": True,
    "scopes": [_id("VirtualMachine")["id"]],
    "condition": {
        "allOf": [
            {"field": "category", "equals": "ResourceHealth"},
            {"anyOf": [{"field": "properties.currentHealthStatus", "equals": "Unavailable"}]},
        ]
    },
    "actions": {"actionGroups": [{"actionGroupId": _id("ActionGroup")["id"]}]},
}


def put(azure: Azure, name: str, inputs: dict[str, Any] | None = None, urn: str = "") -> Resource:
    """Create one resource, by default the one above."""
    inputs = inputs or RESOURCES[name]
    return azure.create(
        kind(name), urn or PREFIX + str(kind(name).identity(inputs)), inputs, "", _hush
    )


def change(azure: Azure, name: str, inputs: dict[str, Any]) -> Resource:
    """Update the resource that the inputs name."""
    return azure.update(kind(name), kind(name).identity(inputs), inputs, _hush)


def delete(azure: Azure, name: str) -> None:
    azure.delete(kind(name), identity(name))


def populate(azure: Azure) -> None:
    """Create all of RESOURCES, each after what it refers to."""
    for name in RESOURCES:
        put(azure, name)


def spoiled(inputs: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of the inputs with another value at a path like `a.b.0.c`; None removes it."""
    return _set(inputs, path.split("."), value)


def _set(value: Any, steps: list[str], new: Any) -> Any:
    step, *rest = steps
    if isinstance(value, list):
        index = int(step)
        return [*value[:index], _set(value[index], rest, new) if rest else new, *value[index + 1 :]]
    if rest:
        return {**value, step: _set(value.get(step, {}), rest, new)}
    return {k: v for k, v in {**value, step: new}.items() if v is not None}


def _hush(_: str) -> None:
    return
