"""Published limits of the VM sizes this program knows, as plain data.

Source of every figure: the size pages under "Virtual machine sizes" and the page "Retired VM
series" in Azure's documentation; restated with dates in docs/azure-assumptions.md.
"""

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class VmSize:
    """One Azure VM size. Memory in GiB, disk throughput in MB/s (uncached), network in Mb/s.

    Azure resizes a VM only to a size that has a temporary disk if and only if its own has; that
    holds of each `successor`. New subscriptions cannot deploy sizes that retire.
    """

    name: str
    vcpus: int
    memory_gib: int
    disk_mb_per_s: int
    network_mbit_per_s: int
    temporary_disk: bool = False
    retires: date | None = None
    successor: str | None = None


_DSV2_RETIRES = date(2028, 5, 1)
_DSV3_RETIRES = date(2029, 11, 15)

VM_SIZES: dict[str, VmSize] = {
    size.name: size
    for size in (
        VmSize("Standard_DS2_v2", 2, 7, 96, 1500, True, _DSV2_RETIRES, "Standard_D2ds_v5"),
        VmSize("Standard_DS3_v2", 4, 14, 192, 3000, True, _DSV2_RETIRES, "Standard_D4ds_v5"),
        VmSize("Standard_DS4_v2", 8, 28, 384, 6000, True, _DSV2_RETIRES, "Standard_D8ds_v5"),
        VmSize("Standard_D2s_v3", 2, 8, 48, 1000, True, _DSV3_RETIRES, "Standard_D2ds_v5"),
        VmSize("Standard_D4s_v3", 4, 16, 96, 2000, True, _DSV3_RETIRES, "Standard_D4ds_v5"),
        VmSize("Standard_D8s_v3", 8, 32, 192, 2000, True, _DSV3_RETIRES, "Standard_D8ds_v5"),
        VmSize("Standard_D2ds_v5", 2, 8, 85, 12500, True),
        VmSize("Standard_D4ds_v5", 4, 16, 145, 12500, True),
        VmSize("Standard_D8ds_v5", 8, 32, 290, 12500, True),
        VmSize("Standard_D16ds_v5", 16, 64, 600, 12500, True),
        VmSize("Standard_D2s_v5", 2, 8, 85, 12500),
        VmSize("Standard_D4s_v5", 4, 16, 145, 12500),
        VmSize("Standard_D8s_v5", 8, 32, 290, 12500),
        VmSize("Standard_D16s_v5", 16, 64, 600, 12500),
        VmSize("Standard_E2s_v5", 2, 16, 85, 12500),
        VmSize("Standard_E4s_v5", 4, 32, 145, 12500),
        VmSize("Standard_E8s_v5", 8, 64, 290, 12500),
        VmSize("Standard_E16s_v5", 16, 128, 600, 12500),
    )
}
