"""The lab behind Azure's surface: networks, disks and machines, as one replaceable thing."""

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Protocol

from lab.azure.errors import AzureError
from lab.machines import disks, machine
from lab.machines.machine import MachineSpec
from lab.names import Lab
from lab.net import fabric
from lab.net.topology import Topology
from lab.shell import LabError, require_host


class Backend(Protocol):
    """Effects, each idempotent. They raise AzureError."""

    def require(self) -> None:
        """Refuse unless this host can run a lab at all."""
        ...

    def apply(self, topology: Topology) -> None:
        """Make the network as described, from whatever it was."""
        ...

    def public_addresses(self) -> Iterator[str]:
        """The addresses that may be handed out as public ones, in order."""
        ...

    def disk_path(self, name: str) -> Path: ...

    def disk_size(self, name: str) -> int | None:
        """Size in GiB; None if there is no such disk."""
        ...

    def create_disk(self, name: str, gib: int) -> None: ...

    def grow_disk(self, name: str, gib: int) -> None: ...

    def delete_disk(self, name: str) -> None: ...

    def provision(self, spec: MachineSpec) -> None: ...

    def start(self, name: str) -> None: ...

    def await_provisioned(self, name: str) -> None:
        """Wait for the report of a new machine's agent."""
        ...

    def power_off(self, name: str) -> None: ...

    def delete_machine(self, name: str) -> None: ...

    def machine_exists(self, name: str) -> bool: ...

    def machine_runs(self, name: str) -> bool: ...


@contextmanager
def _as_azure(code: str) -> Iterator[None]:
    try:
        yield
    except (LabError, OSError) as error:
        raise AzureError(code, str(error)) from error


class LabBackend:
    """The real one: what `lab.net.fabric`, `lab.machines.disks` and `lab.machines.machine` do."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def require(self) -> None:
        with _as_azure("LabHostNotSuitable"):
            require_host()

    def apply(self, topology: Topology) -> None:
        with _as_azure("NetworkingInternalOperationError"):
            fabric.apply(self._lab, topology)

    def public_addresses(self) -> Iterator[str]:
        with _as_azure("NetworkingInternalOperationError"):
            internet = fabric.internet(self._lab)
        last = IPv4Network(internet.prefix).broadcast_address
        address = IPv4Address(internet.first_public)
        while address < last:
            yield str(address)
            address += 1

    def disk_path(self, name: str) -> Path:
        return self._lab.directory / "disks" / f"{name}.img"

    def disk_size(self, name: str) -> int | None:
        try:
            return self.disk_path(name).stat().st_size >> 30
        except FileNotFoundError:
            return None

    def create_disk(self, name: str, gib: int) -> None:
        with _as_azure("DiskServiceInternalError"):
            disks.create(self.disk_path(name), gib)

    def grow_disk(self, name: str, gib: int) -> None:
        with _as_azure("DiskServiceInternalError"):
            disks.grow(self.disk_path(name), gib)

    def delete_disk(self, name: str) -> None:
        with _as_azure("DiskServiceInternalError"):
            disks.delete(self.disk_path(name))

    def provision(self, spec: MachineSpec) -> None:
        with _as_azure("OSProvisioningInternalError"):
            machine.provision(self._lab, spec)

    def start(self, name: str) -> None:
        with _as_azure("VMStartFailed"):
            machine.start(self._lab, name)

    def await_provisioned(self, name: str) -> None:
        try:
            machine.await_provisioned(self._lab, name)
        except LabError as failure:
            raise AzureError(
                "OSProvisioningClientError",
                f"OS provisioning for VM '{name}' failed. Error details: {failure}",
            ) from failure
        except TimeoutError as timeout:
            raise AzureError(
                "OSProvisioningTimedOut",
                f"OS Provisioning for VM '{name}' did not finish in the allotted time. The VM may "
                "still finish provisioning successfully. Please check provisioning state later.",
            ) from timeout

    def power_off(self, name: str) -> None:
        with _as_azure("VMStopFailed"):
            machine.power_off(self._lab, name)

    def delete_machine(self, name: str) -> None:
        with _as_azure("VMDeleteFailed"):
            machine.delete(self._lab, name)

    def machine_exists(self, name: str) -> bool:
        return name in machine.names(self._lab)

    def machine_runs(self, name: str) -> bool:
        return machine.is_running(self._lab, name)
