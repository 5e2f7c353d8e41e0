"""What Azure refuses at sight is refused at preview, with Azure's code."""

import base64
from typing import Any

import pytest

from lab.azure.validate import structure
from tests.unit.azure_world import RESOURCES, kind, spoiled

RULE = RESOURCES["NetworkSecurityGroup"]["securityRules"][0]
DISK = RESOURCES["VirtualMachine"]["storageProfile"]["dataDisks"][0]


def _disks(count: int) -> list[dict[str, Any]]:
    return [{**DISK, "lun": n, "managedDisk": {"id": f"/disk/{n}"}} for n in range(count)]


@pytest.mark.parametrize(
    ("name", "path", "value", "code"),
    [
        ("VirtualNetwork", "addressSpace.addressPrefixes", ["10.0.0.1/16"], "InvalidCIDRNotation"),
        (
            "VirtualNetwork",
            "addressSpace.addressPrefixes",
            ["10.0.0.0/8", "10.1.0.0/16"],
            "AddressPrefixesOverlap",
        ),
        ("ActionGroup", "groupShortName", "thirteen-char", "InvalidActionGroupShortName"),
        ("ActionGroup", "location", "westeurope", "LocationNotAvailableForResourceType"),
        ("ActionGroup", "emailReceivers.0.emailAddress", "dba", "InvalidEmailAddress"),
        ("MetricAlert", "severity", 5, "BadRequest"),
        ("MetricAlert", "scopes", [], "BadRequest"),
        ("MetricAlert", "scopes", ["/not/a/vm"], "BadRequest"),
        ("MetricAlert", "evaluationFrequency", "PT15M", "BadRequest"),
        ("MetricAlert", "criteria.allOf.0.metricName", "VmAvailability", "BadRequest"),
        ("ActivityLogAlert", "condition.allOf.0.field", "status", "BadRequest"),
        ("ActivityLogAlert", "condition.allOf.1.field", "status", "BadRequest"),
        ("Subnet", "addressPrefix", "10.20.1.0", "InvalidCIDRNotation"),
        ("Subnet", "addressPrefix", "10.20.1.0/30", "SubnetMustBeLargerThanSlash29"),
        ("NetworkSecurityGroup", "securityRules.0.priority", 99, "SecurityRuleInvalidPriority"),
        (
            "NetworkSecurityGroup",
            "securityRules",
            [RULE, {**RULE, "name": "other"}],
            "SecurityRuleConflict",
        ),
        (
            "NetworkSecurityGroup",
            "securityRules.0.sourceAddressPrefixes",
            ["1.1.0.0/24", "1.1.0.22/32"],
            "OverlappingSubnetsNotPermittedInSecurityRule",
        ),
        (
            "NetworkSecurityGroup",
            "securityRules.0.sourceAddressPrefixes",
            ["Internet"],
            "SecurityRuleParameterContainsUnsupportedValue",
        ),
        (
            "NetworkSecurityGroup",
            "securityRules.0.destinationAddressPrefix",
            "everything",
            "SecurityRuleInvalidAddressPrefix",
        ),
        (
            "NetworkSecurityGroup",
            "securityRules.0.destinationPortRanges",
            ["ssh"],
            "SecurityRuleInvalidPortRange",
        ),
        (
            "NetworkSecurityGroup",
            "securityRules.0.sourceAddressPrefix",
            "*",
            "SecurityRuleParameterInvalid",
        ),
        ("NatGateway", "idleTimeoutInMinutes", 121, "InvalidIdleTimeout"),
        (
            "NetworkInterface",
            "ipConfigurations.0.privateIPAddress",
            None,
            "StaticPrivateIPAddressMustBeSpecified",
        ),
        ("Disk", "diskSizeGB", 0, "InvalidParameter"),
        ("VirtualMachine", "hardwareProfile.vmSize", "Standard_D3s_v3", "InvalidParameter"),
        (
            "VirtualMachine",
            "storageProfile.imageReference.offer",
            "debian-99",
            "PlatformImageNotFound",
        ),
        ("VirtualMachine", "storageProfile.dataDisks", [DISK, DISK], "InvalidParameter"),
        ("VirtualMachine", "storageProfile.dataDisks", _disks(5), "OperationNotAllowed"),
        ("VirtualMachine", "osProfile.customData", "not base64!", "InvalidParameter"),
        (
            "VirtualMachine",
            "osProfile.customData",
            base64.b64encode(bytes(65536)).decode(),
            "InvalidParameter",
        ),
        ("VirtualMachine", "osProfile.adminUsername", "root", "InvalidParameter"),
        (
            "VirtualMachine",
            "osProfile.linuxConfiguration.ssh.publicKeys.0.path",
            "/root/.ssh/authorized_keys",
            "InvalidParameter",
        ),
        (
            "VirtualMachine",
            "osProfile.linuxConfiguration.ssh.publicKeys.0.keyData",
            "ssh-dss AAAA",
            "InvalidParameter",
        ),
        (
            "VirtualMachine",
            "osProfile.linuxConfiguration.disablePasswordAuthentication",
            None,
            "InvalidParameter",
        ),
        ("VirtualMachine", "securityProfile.encryptionAtHost", True, "InvalidParameter"),
        ("VirtualMachine", "securityProfile.securityType", None, "BadRequest"),
        ("VirtualMachine", "networkProfile.networkInterfaces", [], "InvalidParameter"),
    ],
)
def test_refused(name: str, path: str, value: Any, code: str) -> None:
    inputs = spoiled(RESOURCES[name], path, value)
    assert structure(kind(name).model, inputs) == []
    assert {f.reason.split(":")[0] for f in kind(name).rules(inputs)} == {code}


def test_custom_data_of_the_full_size_is_taken() -> None:
    most = base64.b64encode(bytes(65535)).decode()
    inputs = spoiled(RESOURCES["VirtualMachine"], "osProfile.customData", most)
    assert list(kind("VirtualMachine").rules(inputs)) == []


def test_as_many_disks_as_the_size_carries() -> None:
    inputs = spoiled(RESOURCES["VirtualMachine"], "storageProfile.dataDisks", _disks(16))
    inputs = spoiled(inputs, "hardwareProfile.vmSize", "Standard_DS3_v2")
    assert list(kind("VirtualMachine").rules(inputs)) == []
