"""A third machine for tests: a network namespace of its own, joined to the lab's network."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface

from lab.names import Lab, bridge, digest
from lab.net import fabric
from lab.shell import run


@dataclass(frozen=True)
class Client:
    """`prefix`: what it joined to the virtual networks as a peer; None if it did not."""

    lab: Lab
    name: str
    prefix: str | None = None

    @property
    def namespace(self) -> str:
        return self.lab.namespace_of(self.name)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: str = "",
        check: bool = True,
        timeout: float | None = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program with the client's network; everything else is this host's."""
        return run(argv, stdin=stdin, check=check, namespace=self.namespace, timeout=timeout)

    def start(self, argv: Sequence[str]) -> subprocess.Popen[str]:
        """Start a program with the client's network and pipes to it; the caller ends it."""
        pipe = subprocess.PIPE
        inside = ["nsenter", f"--net=/run/netns/{self.namespace}", "--", *argv]
        return subprocess.Popen(inside, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def detach(self) -> None:
        """Unplug the client and forget it. Programs still running there keep a dead network."""
        run(["ip", "netns", "delete", self.namespace], check=False)
        if self.prefix:
            fabric.set_peer(self.lab, self.prefix, joined=False)


def attach(
    lab: Lab, name: str, address: str, subnet: str | None = None, *, internet: bool = False
) -> Client:
    """Plug a client with `address` (with prefix length) into the lab's network, which must be up.

    `subnet` (`network/subnet`): one more machine of that subnet, its address inside the prefix and
    behind the subnet's security group. Without it: a host of a network peered with all virtual
    networks, or, with `internet`, a host of the Internet that can reach public addresses only.
    """
    namespace = lab.namespace_of(name)
    own = IPv4Interface(address)
    run(["ip", "netns", "add", namespace])
    plug = (
        f"link add eth0 type veth peer {{}} netns {lab.short}\nlink set lo up\nlink set eth0 up\n"
    )
    if subnet:
        port, router = "nic" + digest("client", name), str(own.network[1])
        inside = [f"link set {port} master {bridge(subnet)} up"]
        route = f"address add {own} dev eth0\nroute add default via {router}\n"
    else:
        port, router = ("internet" if internet else "peer") + digest(name, length=6), "169.254.1.1"
        inside = [
            f"address add {router}/32 dev {port}",
            f"link set {port} up",
            f"route add {own.ip} dev {port}",
        ]
        route = (
            f"address add {own.ip}/32 dev eth0\n"
            f"route add {router} dev eth0\nroute add default via {router} src {own.ip}\n"
        )
    run(["ip", "-n", namespace, "-batch", "-"], stdin=plug.format(port) + route)
    run(["ip", "-n", lab.short, "-batch", "-"], stdin="\n".join(inside) + "\n")
    if subnet or internet:
        return Client(lab, name)
    fabric.set_peer(lab, f"{own.ip}/32", joined=True)
    return Client(lab, name, f"{own.ip}/32")
