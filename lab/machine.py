"""The lab's virtual machines: real Debian, booted on an overlay of the image by systemd-nspawn."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from lab.names import Lab


class Interface(NamedTuple):
    """`subnet`: a Subnet's key (`network/subnet`); `address` with its prefix length."""

    subnet: str
    address: str
    gateway: str
    mac: str


class DataDisk(NamedTuple):
    lun: int
    path: Path


@dataclass(frozen=True)
class MachineSpec:
    """`custom_data` is the decoded customData; `image_release` is `trixie` or `forky`."""

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


def provision(lab: Lab, spec: MachineSpec) -> None: raise NotImplementedError
def start(lab: Lab, name: str) -> None: raise NotImplementedError
def power_off(lab: Lab, name: str, timeout: float = 60) -> None: raise NotImplementedError
def kill(lab: Lab, name: str) -> None: raise NotImplementedError
def freeze(lab: Lab, name: str) -> None: raise NotImplementedError
def thaw(lab: Lab, name: str) -> None: raise NotImplementedError
def delete(lab: Lab, name: str) -> None: raise NotImplementedError
def is_running(lab: Lab, name: str) -> bool: raise NotImplementedError
def console_log(lab: Lab, name: str) -> Path: raise NotImplementedError
def names(lab: Lab) -> list[str]: raise NotImplementedError
def execute(lab: Lab, name: str, argv: Sequence[str], *, stdin: str = "", check: bool = True, timeout: float | None = 120) -> subprocess.CompletedProcess[str]: raise NotImplementedError
