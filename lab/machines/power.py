"""Switches a lab's machines on again, also after the host itself was rebooted."""

from collections.abc import Iterator

from lab.azure import topology
from lab.azure.store import Store
from lab.machines import machine
from lab.names import Lab
from lab.net import fabric
from lab.shell import LabError


def switch_on(lab: Lab, only: str | None = None) -> Iterator[str]:
    """Start the machines that are off (or the one named); yield one line of news for each.

    A machine that cannot start is news as well: it may be one that a crash left half made, which
    the next update makes again.
    """
    off = [name for name in machine.names(lab) if not machine.is_running(lab, name)]
    wanted = [name for name in off if only in (None, name)]
    if not wanted:
        return
    # A rebooted host has lost the network too; where it is there, this changes nothing.
    fabric.apply(lab, topology.build(Store(lab.directory / "store").all()))
    for name in wanted:
        try:
            machine.start(lab, name)
        except LabError as failure:
            yield f"{name} was off and could not be started: {failure}"
        else:
            yield f"{name} was off: started."
