"""The Barman machine as a drill sees it: backups, what else runs, the scratch directory."""

import errno
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
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
        tablespaces=tuple(
            (each.name, each.location) for each in backup_info.tablespaces(known.get("tablespaces"))
        ),
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


def run(argv: Sequence[str], log: Path, watch: Callable[[], None]) -> int:
    """Run `argv` as barman to its end, its output in `log`, and return its exit code. `watch` is
    called every second; what it raises ends the command too."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            user.argv_as(USER, argv),
            env=user.environment(USER),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
        )
    try:
        while process.poll() is None:
            watch()
            time.sleep(POLL_S)
    finally:
        stop(process)
        # What it has started, Barman's rsync above all, would go on writing.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return process.returncode


def make_folder(folder: Path) -> None:
    """A directory of barman's own."""
    folder.mkdir(mode=0o700)
    shutil.chown(folder, USER, USER)


def as_barman(work: Callable[[], None]) -> None:
    """Do something with files as barman. Raises Failed."""
    if os.waitpid(user.child(USER, work), 0)[1]:
        raise Failed("the restored files could not be prepared for a replay (see the journal)")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that may have ended, in order if it can."""
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def size_of(folder: Path) -> int:
    """Bytes of all files below `folder`."""
    return sum(
        (Path(where) / name).lstat().st_size
        for where, _, names in os.walk(folder)
        for name in names
    )


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


def tail(log: Path, length: int = 600) -> str:
    """The end of what a command said."""
    return log.read_text(errors="replace").strip()[-length:]
