"""What a machine of the lab is made of, and how that is kept on disk."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple


class Interface(NamedTuple):
    """`subnet`: a Subnet's key (`network/subnet`); `address` with its prefix length. The first
    interface of a machine carries its default route."""

    subnet: str
    address: str
    gateway: str
    mac: str


class DataDisk(NamedTuple):
    lun: int
    path: Path


@dataclass(frozen=True)
class MachineSpec:
    """`custom_data` is the decoded customData; `image_release` is one of image.RELEASES.

    `instance_id` must differ between a machine and one made again under its name, or the second
    one's cloud-init would believe it has run already.
    """

    name: str
    image_release: str
    instance_id: str
    hostname: str
    admin_user: str
    admin_keys: tuple[str, ...]
    custom_data: bytes
    nics: tuple[Interface, ...]
    disks: tuple[DataDisk, ...]
    nameservers: tuple[str, ...]


@dataclass(frozen=True)
class Hardware:
    """What has to be known to start a provisioned machine; `lower` are the overlay's lower
    directories, uppermost first, the last one being the image."""

    instance_id: str
    image_release: str
    hostname: str
    nics: tuple[Interface, ...]
    disks: tuple[DataDisk, ...]
    lower: tuple[str, ...]

    @classmethod
    def read(cls, file: Path) -> Hardware:
        fields = json.loads(file.read_text())
        nics = tuple(Interface(*nic) for nic in fields.pop("nics"))
        disks = tuple(DataDisk(lun, Path(path)) for lun, path in fields.pop("disks"))
        return cls(nics=nics, disks=disks, lower=tuple(fields.pop("lower")), **fields)

    def write(self, file: Path) -> None:
        new = file.with_name(file.name + ".new")
        new.write_text(json.dumps(asdict(self), indent=1, default=str))
        new.replace(file)
