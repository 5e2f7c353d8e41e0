"""What Azure has on offer: the VM sizes and images that the lab knows."""

import re

# Data disks a size can carry, by its number of vCPUs (D and E families of version 3 and later).
_DISKS_BY_CPUS = {2: 4, 4: 8, 8: 16, 16: 32, 20: 32, 32: 32, 48: 32, 64: 32}
_DISKS_DSV2 = {1: 4, 2: 8, 3: 16, 4: 32, 5: 64, 11: 8, 12: 16, 13: 32, 14: 64}
_DISKS_B = {"1ms": 2, "1s": 2, "2s": 4, "2ms": 4, "4ms": 8, "8ms": 16}

_MODERN = re.compile(r"Standard_[DE](\d+)(?:s|ds|as|ads|is)_v[3-6]")
_DSV2 = re.compile(r"Standard_DS(\d+)_v2")
_BURSTABLE = re.compile(r"Standard_B(\d+m?s)")

# (publisher, offer, sku) in lower case: the Debian release that the lab boots for it.
IMAGES = {
    ("debian", "debian-13", "13-gen2"): "trixie",
    ("debian", "debian-14-daily", "14-gen2"): "forky",
}


def data_disk_limit(size: str) -> int | None:
    """How many data disks a VM of this size can carry; None if there is no such size."""
    if match := _MODERN.fullmatch(size):
        return _DISKS_BY_CPUS.get(int(match[1]))
    if match := _DSV2.fullmatch(size):
        return _DISKS_DSV2.get(int(match[1]))
    if match := _BURSTABLE.fullmatch(size):
        return _DISKS_B.get(match[1])
    return None


def release(publisher: str, offer: str, sku: str) -> str | None:
    """The Debian release behind an image reference; None if there is no such image."""
    return IMAGES.get((publisher.lower(), offer.lower(), sku.lower()))
