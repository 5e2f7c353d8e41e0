"""Brings the file system of the data disk up to the size of its disk, while it is in use."""

import os
import socket
from pathlib import Path
from typing import Any

from host.programs.converge import ConvergeError, Host, conclude

GIB = 2**30
BLOCK_DEVICES = Path("/sys/class/block")
# Azure reports a disk as larger some time before a rescan shows it to the machine.
APPEARS_TIMEOUT_S = 300
RESCAN_EVERY_S = 5


def main(desired: dict[str, Any]) -> int:
    host = Host()
    return conclude(
        host, "data_disk", desired, lambda: grow(host, desired["mount_point"], desired["disk_gib"])
    )


def grow(host: Host, mount_point: str, disk_gib: int) -> dict[str, Any]:
    """Grow what is mounted at `mount_point` when its disk is larger; never shrinks anything.

    Returns {size_gib}, the file system's. Raises ConvergeError when the machine does not see a
    disk of `disk_gib`.
    """
    host.require_mount(mount_point)
    device, kind = host.run("findmnt", "-nro", "SOURCE,FSTYPE", mount_point).stdout.split()

    def grown() -> bool:
        _rescan(BLOCK_DEVICES / Path(device).name)
        return _device_bytes(host, device) >= disk_gib * GIB

    try:
        host.wait("", grown, APPEARS_TIMEOUT_S, RESCAN_EVERY_S)
    except ConvergeError:
        vm = f"-g RESOURCE_GROUP -n {socket.gethostname()}"
        raise ConvergeError(
            f"the disk at {mount_point} should have {disk_gib} GiB, but after rescans for "
            f"{APPEARS_TIMEOUT_S} s this machine sees "
            f"{_device_bytes(host, device) / GIB:.0f}; nothing was changed. pulumi up tries again. "
            "If that does not help, type when a stop of some minutes suits you, with "
            f"RESOURCE_GROUP filled in: az vm deallocate {vm} && az vm start {vm}   "
            "then: pulumi up"
        ) from None
    before = _file_system_bytes(mount_point)
    host.run(*growing(kind, device, mount_point))
    after = _file_system_bytes(mount_point)
    if after > before:
        host.note(f"grew {mount_point} from {before / GIB:.0f} to {after / GIB:.0f} GiB")
    return {"size_gib": round(after / GIB, 1)}


def growing(kind: str, device: str, mount_point: str) -> list[str]:
    """The command that grows a mounted file system of this kind to its device's size; it does
    nothing when there is nothing to grow. Raises ConvergeError for a kind that cannot."""
    match kind:
        case "xfs":
            return ["xfs_growfs", "-d", mount_point]
        case "ext4":
            return ["resize2fs", device]
    raise ConvergeError(f"{mount_point} is {kind}, which this program cannot grow")


def _rescan(block: Path) -> None:
    """Have the kernel ask a SCSI disk for its size; NVMe and others report a new one themselves."""
    rescan = block / "device" / "rescan"
    if rescan.exists():
        rescan.write_text("1\n")


def _device_bytes(host: Host, device: str) -> int:
    return int(host.run("blockdev", "--getsize64", device).stdout)


def _file_system_bytes(mount_point: str) -> int:
    seen = os.statvfs(mount_point)
    return seen.f_blocks * seen.f_frsize
