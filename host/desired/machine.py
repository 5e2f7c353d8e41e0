"""What every machine has before it is PostgreSQL's or Barman's. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from host.desired.files import Desired, Directory, File, ssh_directory
from host.desired.names import OPERATOR
from host.domain.paths import MOUNT_POINT

HOME = f"/home/{OPERATOR}"
AUTHORIZED_KEYS = f"{HOME}/.ssh/authorized_keys"


@dataclass(frozen=True)
class FirstBoot(Desired):
    """For host/programs/first_boot.py: the disk that the first boot shall have mounted, by the
    command `prepare_disk`, and the packages it shall have installed."""

    packages: tuple[str, ...]
    prepare_disk: tuple[str, ...]
    mount_point: str = MOUNT_POINT


@dataclass(frozen=True)
class DataDisk(Desired):
    """For host/programs/data_disk.py: a file system as large as its disk, in GiB."""

    mount_point: str
    disk_gib: int


@dataclass(frozen=True)
class Operators(Desired):
    """For host/programs/operators.py: whose keys let the operator in."""

    directory: Directory
    keys: File


def data_disk(disk_gib: int) -> DataDisk:
    """The data disk's file system."""
    return DataDisk(mount_point=MOUNT_POINT, disk_gib=disk_gib)


def operators(public_keys: Iterable[str]) -> Operators:
    """The operator's way in, by these keys alone (authorized_keys lines without their ends)."""
    lines = "".join(f"{key}\n" for key in public_keys)
    return Operators(
        directory=ssh_directory(OPERATOR, HOME),
        keys=File(AUTHORIZED_KEYS, lines, owner=OPERATOR, mode=0o600),
    )
