"""Whether both disks have room for what a restore brings with it."""

from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach.ssh import Machine, Site
from ops.screen import size

# Room for WAL while replaying, beside the backup itself; on Barman, for what is saved there.
RESERVE_BYTES = 2**30
# What a copy beside the running server leaves to it, or goes.
LEAST_BYTES = RESERVE_BYTES // 2


def free_bytes(machine: Machine, path: str = "/data") -> int:
    """Free space of the file system at `path`."""
    return int(machine.run(["df", "--output=avail", "-B1", path]).stdout.split()[-1])


def used_bytes(machine: Machine, directory: str) -> int:
    """What is in `directory`; 0 when there is none."""
    said = machine.run(["du", "-sb", directory], accept=(0, 1), timeout_s=600).stdout.split()
    return int(said[0]) if said else 0


def growth(free: int, old: int, backup_size: int) -> str | None:
    """A warning where the database has grown since the backup, and replay may need that room too.

    `free` bytes are there for it, `old` is how large the data directory is now."""
    if old <= backup_size or free >= old + RESERVE_BYTES:
        return None
    return (
        f"the database has grown from {size(backup_size)} to {size(old)} since the backup; with "
        f"{size(free)} free replay may not find room for that (--discard-old-data makes room)"
    )


def require(site: Site, backup_size: int, *, free: int, old: int, discard: bool | None) -> None:
    """Raises OperatorError unless the backup fits on PostgreSQL's machine.

    `free` and `old` are bytes: what is free there, and the old data directory. `discard` says
    whether that one goes; None where it is not to be touched at all.
    """
    needed = backup_size + RESERVE_BYTES
    if free + (old if discard else 0) >= needed:
        return
    text = (
        f"The restore needs {size(needed)} at /data on {site.outputs.postgres.name}; "
        f"{size(free)} is free"
    )
    if discard is False and free + old >= needed:
        raise OperatorError(
            f"{text} beside the old data directory ({size(old)}), which is kept for `ops undo`.",
            NOTHING_CHANGED,
            next_command="the same with --discard-old-data   (then there is no undo)",
        )
    raise OperatorError(
        f"{text}.", NOTHING_CHANGED, next_command="enlarge postgresDiskGb, then pulumi up"
    )


def require_on_barman(site: Site, backup_size: int) -> str | None:
    """A warning when the full backup at the end may not fit, which takes about `backup_size` bytes.
    Raises OperatorError when not even the run itself can be written down."""
    free, name = free_bytes(site.barman), site.outputs.barman.name
    if free < RESERVE_BYTES:
        raise OperatorError(
            f"/data on {name} is full: {size(free)} is free. The run needs {size(RESERVE_BYTES)} "
            "there, for its journal and for the WAL that it saves.",
            NOTHING_CHANGED,
            next_command="enlarge barmanDiskGb, then pulumi up",
        )
    if free < backup_size + RESERVE_BYTES:
        return (
            f"{name} has {size(free)} free: the full backup at the end may not fit. Enlarge "
            "barmanDiskGb and pulumi up, before or after"
        )
    return None
