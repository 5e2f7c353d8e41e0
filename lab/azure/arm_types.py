"""ARM type names of what the lab provides."""

GROUP = ""
VNET = "Microsoft.Network/virtualNetworks"
SUBNET = "Microsoft.Network/virtualNetworks/subnets"
NSG = "Microsoft.Network/networkSecurityGroups"
PUBLIC_IP = "Microsoft.Network/publicIPAddresses"
NAT = "Microsoft.Network/natGateways"
NIC = "Microsoft.Network/networkInterfaces"
DISK = "Microsoft.Compute/disks"
VM = "Microsoft.Compute/virtualMachines"
ACTION_GROUP = "Microsoft.Insights/actionGroups"
METRIC_ALERT = "Microsoft.Insights/metricAlerts"
ACTIVITY_ALERT = "Microsoft.Insights/activityLogAlerts"
LOCK = "Microsoft.Authorization/locks"

NETWORKS = (VNET, SUBNET, NIC)

# A resource group deletes what it holds in this order: users before what they use.
DELETION_ORDER = (
    *(METRIC_ALERT, ACTIVITY_ALERT, ACTION_GROUP),
    *(VM, DISK, NIC, SUBNET, VNET, NAT, PUBLIC_IP, NSG),
)
