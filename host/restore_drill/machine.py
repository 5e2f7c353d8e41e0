"""The Barman machine as a drill sees it: backups, what else runs, the scratch directory."""

import errno
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from host.domain import backup_info, paths
from host.restored_copy import files, user
from host.restored_copy.server import Failed

from .decision import Backup, Surroundings, newest

RUNBOOK = Path(paths.CURRENT_RUNBOOK)
USER = "barman"
POLL_S = 1.0
STOP_TIMEOUT_S = 30


class Declined(Exception):
    """The drill was not held, or broken off: that says nothing about the backup."""


def newest_backup(home: Path, server: str) -> Backup | None:
    """The newest complete backup. Raises Failed when Barman does not answer."""
    found = newest(_barman("list-backups", server)[server])
    if found is None:
        return None
    known = backup_info.read(home / server)[found["backup_id"]]
    return Backup(
        id=found["backup_id"],
        size=backup_info.restored_size(known),
        stored=backup_info.stored_size(known),
        ended=float(found["end_time_timestamp"]),
        segment_size=backup_info.segment_size(known),
    )


def _barman(*words: str) -> Any:
    done = subprocess.run(
        user.argv_as(USER, ["barman", "-f", "json", *words]),
        env=user.environment(USER),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return json.loads(done.stdout)
    except ValueError:
        raise Failed(f"barman {words[0]}: {(done.stderr or done.stdout).strip()[-500:]}") from None


def surroundings(home: Path, server: str, scratch: Path) -> Surroundings:
    """What goes on just now."""
    disk = os.statvfs(scratch)
    return Surroundings(
        backup_running=locked(home / f".{server}-backup.lock", Path("/proc/locks").read_text()),
        runbook_running=RUNBOOK.exists(),
        free=disk.f_bavail * disk.f_frsize,
        total=disk.f_blocks * disk.f_frsize,
    )


def locked(path: Path, locks: str) -> bool:
    """Whether somebody holds a lock on `path`, by the kernel's list: trying to take it would be
    in Barman's way."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return False
    device = f"{os.major(state.st_dev):02x}:{os.minor(state.st_dev):02x}"
    return any(f" {device}:{state.st_ino} " in line for line in locks.splitlines())


def make_folder(folder: Path) -> None:
    """A directory of barman's own."""
    folder.mkdir(mode=0o700)
    shutil.chown(folder, USER, USER)


def as_barman(work: Callable[[], None]) -> None:
    """Do something with files as barman. Raises Failed."""
    if os.waitpid(user.child(USER, work), 0)[1]:
        raise Failed("the restored files could not be prepared for a replay (see the journal)")


def empty(folder: Path) -> None:
    """Remove everything in `folder`, which itself stays."""
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while True:
        try:
            files.empty(folder)
        except OSError as error:
            # A process that was just killed may have made one last file.
            if error.errno != errno.ENOTEMPTY or time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return
