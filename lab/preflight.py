"""What a lab needs of this machine, checked before anything is started.

Each finding says what is missing and which command to type; nothing here changes anything.
"""

import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path

# program -> the Debian and Ubuntu package that has it
PROGRAMS = {
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "losetup": "util-linux",
    "unshare": "util-linux",
    "nsenter": "util-linux",
    "mkfs.ext4": "e2fsprogs",
    "ps": "procps",
}
# Two machines with PostgreSQL, Barman and a backup; the rest of their disks is sparse.
FREE_GIB = 8
MEMORY_GIB = 2


def findings(lab_directory: Path) -> list[str]:
    """Reasons why no lab can run here, in the operator's words; empty if one can."""
    if platform.system() != "Linux":
        return [
            f"The lab boots Linux machines and cannot run on {platform.system()}.\n"
            "`make plan STACK=dev` and `make test-unit` do run here."
        ]
    return [*_privilege(), *_programs(), *_kernel(), *_space(lab_directory), *_memory()]


def _privilege() -> Iterator[str]:
    if os.geteuid() != 0:
        yield (
            "The lab needs root: it makes network namespaces, mounts and loop devices.\n"
            "Type: sudo make up"
        )


def _programs() -> Iterator[str]:
    # An ordinary user's PATH has no sbin, where most of these are.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    missing = [name for name in PROGRAMS if shutil.which(name, path=path) is None]
    if missing:
        packages = " ".join(sorted({PROGRAMS[name] for name in missing}))
        yield f"Missing here: {', '.join(missing)}.\nType: sudo apt-get install {packages}"


def _kernel() -> Iterator[str]:
    known = Path("/proc/filesystems").read_text().split()
    if "overlay" not in known and not Path("/sys/module/overlay").exists():
        yield "This kernel has no overlay file system loaded.\nType: sudo modprobe overlay"
    if "xfs" not in known and not Path("/sys/module/xfs").exists():
        yield "This kernel has no XFS loaded, which the data disks have.\nType: sudo modprobe xfs"
    if not Path("/dev/loop-control").exists():
        yield "There are no loop devices here.\nType: sudo modprobe loop"


def _space(lab_directory: Path) -> Iterator[str]:
    place = lab_directory
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 2**30
    if free < FREE_GIB:
        yield (
            f"A lab needs {FREE_GIB} GiB free in {place}, there are {free:.1f}.\n"
            "Free some space, or clone to a larger file system. `make clean-cache` removes the\n"
            "cached engine and machine images."
        )


def _memory() -> Iterator[str]:
    for line in Path("/proc/meminfo").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            available = int(rest.split()[0]) / 2**20
            if available < MEMORY_GIB:
                yield (
                    f"A lab needs {MEMORY_GIB} GiB of memory, {available:.1f} are available.\n"
                    "Stop something large, or take a bigger machine."
                )
