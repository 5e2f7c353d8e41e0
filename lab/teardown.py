"""`down`: removes one lab, by its own names, in whatever condition it is.

The engine's destroy is tried first, because it exercises the program's own order. What it cannot
do (no engine, no state, a crash half-way) is then done by name, so nothing of the lab remains.
"""

import shutil
from pathlib import Path

from engine import binary
from engine.environment import Workspace, environment
from engine.errors import ProjectError
from engine.project import (
    Copy,
    copy_configuration,
    forget_state,
    release_dead_locks,
    state_file,
)
from engine.pulumi import Pulumi
from lab import orphans, plugins
from lab.machines import disks, machine
from lab.names import Lab
from lab.net import fabric
from lab.progress import Progress


def anything_left(root: Path, lab: Lab) -> bool:
    """Whether there is anything of this lab to remove."""
    return state_file(Workspace(root / ".lab"), lab.stack).exists() or any(
        entry.name != "command.lock" for entry in _entries(lab.directory)
    )


def data_disks(lab: Lab) -> list[Path]:
    """The files that are the lab's data disks."""
    return _entries(lab.directory / "disks")


def down(root: Path, lab: Lab, progress: Progress) -> None:
    """Remove the lab. Raises StackBusyError while a pulumi typed by hand works on it."""
    workspace = Workspace(root / ".lab")
    release_dead_locks(workspace, lab.stack)
    orphans.end(workspace.home)
    programs = binary.available(root)
    if programs and workspace.passphrase.exists() and state_file(workspace, lab.stack).exists():
        try:
            copy = copy_configuration(root, lab.stack, lab.directory / "project")
        except ProjectError as problem:
            progress.say(f"{problem}\nRemoving the lab without its program.")
        else:
            _destroy(root, workspace, programs, copy, progress)
    forget_state(workspace, lab.stack)
    with progress.step("Removing machines, disks and network"):
        remove_by_name(lab)


def remove_by_name(lab: Lab) -> None:
    """Remove machines, network, disks and files of this lab; fine where they are gone already."""
    for name in machine.names(lab):
        machine.delete(lab, name)
    fabric.remove(lab)
    for disk in data_disks(lab):
        disks.detach(disk)
    # The lock stays until the last, because this process holds it.
    for entry in _entries(lab.directory):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != "command.lock":
            entry.unlink()
    (lab.directory / "command.lock").unlink(missing_ok=True)
    if lab.directory.exists():
        lab.directory.rmdir()


def _destroy(
    root: Path, workspace: Workspace, programs: Path, copy: Copy, progress: Progress
) -> None:
    plugins.install(workspace.home)
    around = environment(workspace, programs)
    pulumi = Pulumi(root, around, copy.stack, copy.settings)
    pulumi.unprotect()
    if pulumi.destroy("--suppress-outputs", "--suppress-permalink=true") != 0:
        progress.say("pulumi destroy did not finish: removing the rest by name.")
    pulumi.remove_stack()


def _entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir()) if directory.is_dir() else []
