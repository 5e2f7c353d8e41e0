"""A state that was lost: what Azure still has is taken over into a new one.

The program names everything after the stack, so the ids follow from a preview. Left out are the
machines, which let in only keys that the lost state had, and what was nowhere but in it: passwords
and keys.
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.pulumi import Pulumi
from ops.errors import NOTHING_CHANGED, OperatorError

GROUP = "azure-native:resources:ResourceGroup"
VNET = "azure-native:network:VirtualNetwork"
MACHINE = "azure-native:compute:VirtualMachine"
# Where each type lies in its resource group, by the properties that name it.
PLACES = {
    GROUP: "",
    VNET: "Microsoft.Network/virtualNetworks/{virtualNetworkName}",
    "azure-native:network:Subnet": (
        "Microsoft.Network/virtualNetworks/{virtualNetworkName}/subnets/{subnetName}"
    ),
    "azure-native:network:NetworkSecurityGroup": (
        "Microsoft.Network/networkSecurityGroups/{networkSecurityGroupName}"
    ),
    "azure-native:network:PublicIPAddress": (
        "Microsoft.Network/publicIPAddresses/{publicIpAddressName}"
    ),
    "azure-native:network:NatGateway": "Microsoft.Network/natGateways/{natGatewayName}",
    "azure-native:network:NetworkInterface": (
        "Microsoft.Network/networkInterfaces/{networkInterfaceName}"
    ),
    "azure-native:compute:Disk": "Microsoft.Compute/disks/{diskName}",
    # A lock bears the name of its disk (components/machine.py).
    "azure-native:authorization:ManagementLockByScope": (
        "Microsoft.Compute/disks/{lockName}/providers/Microsoft.Authorization/locks/{lockName}"
    ),
    "azure-native:monitor:ActionGroup": "Microsoft.Insights/actionGroups/{actionGroupName}",
    "azure-native:monitor:MetricAlert": "Microsoft.Insights/metricAlerts/{ruleName}",
    "azure-native:monitor:ActivityLogAlert": (
        "Microsoft.Insights/activityLogAlerts/{activityLogAlertName}"
    ),
    MACHINE: "Microsoft.Compute/virtualMachines/{vmName}",
}


@dataclass(frozen=True)
class Found:
    """What the state lacks: Pulumi's import file for what is to be taken over, and the ids of the
    machines, which are not."""

    file: dict[str, Any]
    machines: list[str]

    @property
    def adopted(self) -> list[str]:
        """The ids of what is to be taken over."""
        return [item["id"] for item in self.file["resources"] if "id" in item]


def find(pulumi: Pulumi, subscription: str) -> Found:
    """What the program has and the state does not. Raises OperatorError."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "import.json"
        previewed = pulumi.preview("--json", "--show-sames", "--import-file", str(path))
        if previewed.returncode:
            raise OperatorError(
                "pulumi preview fails, and it is what names everything.",
                NOTHING_CHANGED,
                next_command="pulumi preview   (says why)",
            )
        file = json.loads(path.read_text())
    found = select(file, json.loads(previewed.stdout)["steps"], subscription)
    if not found.adopted:
        raise OperatorError(
            "The state lacks nothing that could be taken over.",
            NOTHING_CHANGED,
            next_command="pulumi preview",
        )
    return found


def select(file: dict[str, Any], steps: list[dict[str, Any]], subscription: str) -> Found:
    """Of the import file that Pulumi wrote for a preview of `steps`, what is to be taken over."""
    states = [step["newState"] for step in steps if "newState" in step]
    named = {
        (state["type"], state["urn"].rpartition("::")[2]): state.get("inputs", {})
        for state in states
    }
    # In a preview these are not yet known to what lies in them.
    within = {
        name: inputs[name]
        for (type_, _), inputs in named.items()
        for name, of in (("resourceGroupName", GROUP), ("virtualNetworkName", VNET))
        if type_ == of
    }
    kept, machines = [], []
    for item in file["resources"] or []:
        type_ = item["type"]
        if item.get("component"):
            kept.append(item)
        elif type_ in PLACES:
            names = named[type_, item.get("logicalName", item["name"])] | within
            identity = _identity(type_, names, subscription)
            if type_ == MACHINE:
                machines.append(identity)
            else:
                kept.append({**item, "id": identity})
    return Found({**file, "resources": kept}, machines)


def take_over(pulumi: Pulumi, found: Found) -> None:
    """Write it into the state, protected until the next update. Raises OperatorError."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "import.json"
        path.write_text(json.dumps(found.file))
        code = pulumi.import_file(path)
    if code:
        raise OperatorError(
            f"pulumi import ended with exit code {code}; its own output is above.",
            "In Azure nothing was changed. What it found is in the state.",
            "python -m ops adopt   (goes on), or pulumi up   (makes what Azure does not have)",
        )


def _identity(type_: str, names: dict[str, Any], subscription: str) -> str:
    group = f"/subscriptions/{subscription}/resourceGroups/{names['resourceGroupName']}"
    place = PLACES[type_].format_map(names)
    return f"{group}/providers/{place}" if place else group
