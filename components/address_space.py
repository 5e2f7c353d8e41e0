"""What may become of the network's address space once machines live in it, judged before anything
is touched.

The program knows only the desired network; the engine hands both to a hook, in a preview too.
"""

from ipaddress import IPv4Network
from typing import Any

import pulumi

from settings.addresses import plan_addresses


def refusal(old: IPv4Network, new: IPv4Network) -> str | None:
    """Why `vnetCidr` cannot become `new`, in the operator's words; None if every subnet and
    address stays as it is."""
    if plan_addresses(old) == plan_addresses(new):
        return None
    return (
        f"vnetCidr = {new}: the machines have addresses of {old}, and Azure does not move a subnet "
        "that is in use. The network and the machines were not changed. "
        f"Type: pulumi config set vnetCidr {old}   (another network is another stack)"
    )


def hook(name: str) -> pulumi.ResourceHook:
    """Refuses other addresses for a VirtualNetwork whose machines exist."""

    def judge(change: pulumi.ResourceHookArgs) -> None:
        if reason := refusal(_network(change.old_inputs), _network(change.new_inputs)):
            raise ValueError(reason)

    return pulumi.ResourceHook(name, judge, pulumi.ResourceHookOptions(on_dry_run=True))


def _network(inputs: Any) -> IPv4Network:
    (prefix,) = inputs["addressSpace"]["addressPrefixes"]
    return IPv4Network(prefix)
