"""Names of one lab: everything it creates on this host is named after it, so that a dead lab is
cleaned up by name and never by pattern."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

INTERFACE_NAME_MAX = 15  # the kernel's IFNAMSIZ less the terminating zero


def digest(*parts: str, length: int = 8) -> str:
    """Hexadecimal digest of the parts, `length` characters; ("a", "bc") and ("ab", "c") differ."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:length]


@dataclass(frozen=True)
class Lab:
    """One lab: the machines, disks and networks of one stack of one checkout."""

    directory: Path
    stack: str

    @classmethod
    def of(cls, root: Path, stack: str) -> Lab:
        """The lab of `stack` below `root`, which is `<checkout>/.lab`. Touches nothing."""
        if not stack or "/" in stack or stack.startswith("."):
            raise ValueError(f"'{stack}' cannot be the name of a stack")
        return cls(directory=root.absolute() / "stacks" / stack, stack=stack)

    @property
    def short(self) -> str:
        """`lab` and six hex digits of the directory: the namespace, the cgroup, the tables."""
        return "lab" + digest(str(self.directory), length=6)

    @property
    def uplink(self) -> str:
        """The host's end of the veth pair into this lab's network."""
        return f"{self.short}-up"

    def namespace_of(self, name: str) -> str:
        """The network namespace of one machine or client."""
        return f"{self.short}-{name}"


def bridge(subnet: str) -> str:
    """Name of the bridge that is the subnet (`network/subnet`) inside the lab's namespace."""
    return "br" + digest(subnet)


def port(machine: str, index: int) -> str:
    """Name of the bridge port of one machine's `index`th network interface."""
    return "nic" + digest(machine, str(index))
