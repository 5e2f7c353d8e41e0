"""A machine's network interfaces: recreated at each start, in a namespace of the machine's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.machines.spec import Interface
from lab.names import Lab, bridge, port
from lab.shell import run


def plug(lab: Lab, name: str, nics: Sequence[Interface]) -> None:
    """Fresh network interfaces, in a namespace of the machine's own, each on a subnet's bridge."""
    namespace = lab.namespace_of(name)
    remove(lab, name)
    run(["ip", "netns", "add", namespace])
    inside, fabric = [], []
    for index, nic in enumerate(nics):
        end = port(name, index)
        # The other end of a namespace just deleted may not be gone yet.
        run(["ip", "-n", lab.short, "link", "delete", end], check=False)
        inside.append(
            f"link add eth{index} address {nic.mac} group 1 type veth peer {end} netns {lab.short}"
        )
        fabric.append(f"link set {end} master {bridge(nic.subnet)} up")
    run(["ip", "-n", namespace, "-batch", "-"], stdin="\n".join(inside) + "\n")
    run(["ip", "-n", lab.short, "-batch", "-"], stdin="\n".join(fabric) + "\n")


def unplug(lab: Lab, name: str) -> None:
    """Take the machine off the network; it answers nobody from here on. Idempotent."""
    run(["ip", "-n", lab.namespace_of(name), "link", "set", "group", "1", "down"], check=False)


def remove(lab: Lab, name: str) -> None:
    """Remove the machine's interfaces and their namespace. Idempotent."""
    namespace = lab.namespace_of(name)
    if Path("/run/netns", namespace).exists():
        run(["ip", "netns", "delete", namespace])
