"""The services that watch, as host/programs/monitoring.py is given them."""

from dataclasses import dataclass, field

from host.desired.files import Desired, Directory, File, OwnService, drop_in


@dataclass(frozen=True)
class Service:
    """One of Debian's units: what is laid over it, its files, and the command that accepts them
    before it is started with them; none: nothing to check."""

    drop_in: File
    files: tuple[File, ...]
    check: tuple[str, ...]


@dataclass(frozen=True)
class Monitoring(Desired):
    """`services` are by the name of their unit; `unwanted` has the drop-ins of those that are not
    to be there, by the name of their unit, which is that of their package."""

    packages: tuple[str, ...]
    directories: tuple[Directory, ...]
    services: dict[str, Service]
    own: tuple[OwnService, ...]
    unwanted: dict[str, str] = field(default_factory=dict)


def service(
    unit: str, text: str, files: tuple[File, ...] = (), check: tuple[str, ...] = ()
) -> Service:
    """Debian's `unit`, started as the drop-in `text` has it."""
    return Service(drop_in=_drop_in(unit, text), files=files, check=check)


def unwanted(unit: str) -> dict[str, str]:
    """Debian's `unit`, which may have been started by an earlier update."""
    return {unit: _drop_in(unit, "").path}


def _drop_in(unit: str, text: str) -> File:
    return drop_in(f"{unit}.service", "monitoring.conf", text)
