"""The lab's network: one namespace of bridges, firewall and NAT, joined to the host by one cable."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from lab.names import Lab
from lab.topology import Topology

# Azure's own resolver address: a machine's nameserver. Answered through the host's resolver and,
# as in Azure, out of reach of security rules and of the need for a way out.
RESOLVER = "168.63.129.16"


@dataclass(frozen=True)
class Internet:
    """198.18.N.0/24: the lab's piece of the Internet. Public addresses from `first_public` up."""

    host_address: str
    prefix: str
    first_public: str


def internet(lab: Lab) -> Internet:
    """The lab's piece of the Internet, picked free on this host at the first call, then kept."""
    raise NotImplementedError


def apply(lab: Lab, topology: Topology) -> None: raise NotImplementedError
def remove(lab: Lab) -> None: raise NotImplementedError
def run_in(lab: Lab, argv: Sequence[str], *, check: bool = True) -> subprocess.CompletedProcess[str]: raise NotImplementedError
