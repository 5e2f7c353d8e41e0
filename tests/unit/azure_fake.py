"""A lab that only remembers: the provider's effects without a host to have them on."""

from collections.abc import Iterator
from pathlib import Path

from lab.azure.errors import AzureError
from lab.machines.machine import MachineSpec
from lab.net.topology import Topology


class FakeBackend:
    """`calls` lists every effect in order; `fail` names one that is to fail at its next call."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, ...]] = []
        self.disks: dict[str, int] = {}
        self.machines: dict[str, MachineSpec] = {}
        self.running: set[str] = set()
        self.network: Topology | None = None
        self.fail: str | None = None

    def _did(self, *call: str) -> None:
        self.calls.append(call)
        if self.fail == call[0]:
            self.fail = None
            raise AzureError("OSProvisioningInternalError", "no luck")

    def require(self) -> None:
        return

    def apply(self, topology: Topology) -> None:
        self._did("apply")
        self.network = topology

    def public_addresses(self) -> Iterator[str]:
        return (f"198.18.7.{number}" for number in range(10, 13))

    def disk_path(self, name: str) -> Path:
        return Path("/disks") / name

    def disk_size(self, name: str) -> int | None:
        return self.disks.get(name)

    def create_disk(self, name: str, gib: int) -> None:
        self._did("create_disk", name)
        self.disks[name] = gib

    def grow_disk(self, name: str, gib: int) -> None:
        self._did("grow_disk", name)
        self.disks[name] = gib

    def delete_disk(self, name: str) -> None:
        self._did("delete_disk", name)
        self.disks.pop(name, None)

    def provision(self, spec: MachineSpec) -> None:
        self._did("provision", spec.name)
        self.machines[spec.name] = spec

    def start(self, name: str) -> None:
        self._did("start", name)
        self.running.add(name)

    def await_provisioned(self, name: str) -> None:
        self._did("await_provisioned", name)

    def power_off(self, name: str) -> None:
        self._did("power_off", name)
        self.running.discard(name)

    def delete_machine(self, name: str) -> None:
        self._did("delete_machine", name)
        self.machines.pop(name, None)
        self.running.discard(name)

    def machine_exists(self, name: str) -> bool:
        return name in self.machines

    def machine_runs(self, name: str) -> bool:
        return name in self.running
