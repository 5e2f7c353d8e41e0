"""What a machine says of itself, asked once for everybody: its disk, its clock, some files."""

from pydantic import BaseModel

from host.domain.paths import MOUNT_POINT
from ops.model import Disk
from ops.reach import remote_python
from ops.reach.ssh import Machine


class Glance(BaseModel):
    """One look at one machine."""

    uptime_s: float
    os: str
    disk: Disk
    clock_s: float
    """Its monotonic clock, after the files were read."""
    barman_version: str | None
    files: dict[str, str]
    """What is in each; nothing where there is none, or it cannot be read."""


def take(machine: Machine, *paths: str) -> Glance:
    """Look at `machine`, and into the files `paths` there. Raises CommandFailed, ConnectionLost."""
    asked = [MOUNT_POINT, paths]
    return Glance.model_validate(
        remote_python.call(machine, "ops.onmachine.glance", asked, timeout_s=20)
    )
