"""Brings a machine to a desired state: acts only where something differs, and says what it did."""

import fcntl
import json
import os
import pwd
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from host.domain import paths
from host.domain.disk import sync_directory

COMMAND_TIMEOUT_S = 600
LOCK = "/run/converge.lock"
UTC = "/usr/share/zoneinfo/Etc/UTC"
# What a run leaves to the next one. Secrets among it: root's alone.
STATE = paths.CONVERGE_STATE
PROGRAMS = paths.CONVERGED_PROGRAMS
APT = (
    *("env", "DEBIAN_FRONTEND=noninteractive"),
    *("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=600"),
)
# A file that somebody else has written comes back byte for byte.
ODD_BYTES = "surrogateescape"


class ConvergeError(Exception):
    """The machine could not be brought to the desired state; the message is for the operator."""


class Host:
    """This machine. Every change is printed as it is made and kept in `changed`."""

    def __init__(self) -> None:
        self.changed: list[str] = []

    def note(self, change: str) -> None:
        """Record and print one change."""
        self.changed.append(change)
        print(f"changed: {change}", file=sys.stderr, flush=True)

    def directory(self, path: str, owner: str, mode: int) -> None:
        """A directory with this owner and mode; parents that are missing belong to root. One of
        another user's becomes the owner's with all that is in it: on a disk that outlived its
        machine, the new one may number its users otherwise."""
        target = Path(path)
        if not target.is_dir():
            target.mkdir(parents=True)
            self.note(f"created {path}")
        elif _owner(target) != _numbers(owner):
            # It gets to a directory after what is in it: broken off, it is done again.
            self.run("chown", "-R", f"{owner}:", path)
            self.note(f"changed owner of {path} and all that is in it to {owner}")
        self._access(target, owner, mode)

    def file(self, path: str, content: str, owner: str = "root", mode: int = 0o644) -> bool:
        """A file with exactly this content; replaced in one step. True if the content changed."""
        target = Path(path)
        data = content.encode(errors=ODD_BYTES)
        same = target.is_file() and target.read_bytes() == data
        if not same:
            target.parent.mkdir(parents=True, exist_ok=True)
            _replace(target, data, lambda new: self._access(new, owner, mode, quiet=True))
            self.note(f"wrote {path}")
        self._access(target, owner, mode)
        return not same

    def files(self, wanted: Sequence[Mapping[str, Any]]) -> list[str]:
        """Files as {path, content, owner, mode}. Returns the paths whose content changed."""
        return [
            item["path"]
            for item in wanted
            if self.file(item["path"], item["content"], item["owner"], item["mode"])
        ]

    def utc(self) -> None:
        """The machine's local time is UTC: cron runs by it, and Barman names backups by it."""
        zone = Path("/etc/localtime")
        if zone.exists() and zone.resolve().name != "UTC":
            self.run("ln", "-sfn", UTC, str(zone))
            # It has read the other one when it started.
            self.run("systemctl", "try-restart", "cron")
            self.note("set the time zone to UTC")

    def read(self, path: str) -> str | None:
        """What a file holds; None where there is none."""
        target = Path(path)
        return target.read_bytes().decode(errors=ODD_BYTES) if target.is_file() else None

    def keep(self, path: str, content: str) -> None:
        """A note to a later run, of root's alone. It changes nothing that anybody asked for."""
        _replace(Path(path), content.encode(errors=ODD_BYTES))

    def remove(self, path: str) -> None:
        """The same, no longer needed."""
        Path(path).unlink(missing_ok=True)
        sync_directory(Path(path).parent)

    def restore(self, path: str, before: Mapping[str, Any] | None) -> None:
        """A file back to what it was; None: it was not there."""
        if before is None:
            Path(path).unlink(missing_ok=True)
            self.note(f"removed {path}")
        else:
            self.file(path, before["content"], before["owner"], before["mode"])

    def outdated(self, unit: str, paths: Sequence[str]) -> bool:
        """Whether a unit has started, or been reloaded, before one of the files was written."""
        shown = self.run(
            *("systemctl", "show", "--value", "--property=StateChangeTimestampMonotonic", unit)
        ).stdout.strip()
        ago = time.monotonic() - int(shown or 0) / 1e6
        # By how long ago each was: a clock that is set to another zone or hour says nothing new.
        youngest = min((time.time() - Path(path).stat().st_ctime for path in paths), default=ago)
        return youngest < ago

    def read_unit(self, unit: str) -> None:
        """Have systemd read the unit's files again, if they are others than it has read."""
        needed = ("systemctl", "show", "--value", "--property=NeedDaemonReload", unit)
        if self.run(*needed).stdout.strip() == "yes":
            self.run("systemctl", "daemon-reload")

    def run_unit(self, unit: str, *, restart: bool) -> None:
        """A unit as its files have it, enabled and running."""
        self.read_unit(unit)
        self.run("systemctl", "enable", "--quiet", unit)
        running = self.active(unit)
        if restart or not running:
            self.run("systemctl", "restart", unit)
            self.note(f"{'restarted' if running else 'started'} {unit}")

    def active(self, unit: str) -> bool:
        """Whether it runs."""
        return self.run("systemctl", "is-active", unit, accept=(0, 3, 4)).returncode == 0

    def packages(self, names: Sequence[str]) -> None:
        """The distribution's packages. First boot brings them to a new machine; one from before
        they were asked for gets them here."""
        listed = self.run(
            "dpkg-query",
            "--show",
            "--showformat",
            "${db:Status-Abbrev} ${Package}\n",
            *names,
            # 1: some are unknown to this machine, thus missing.
            accept=(0, 1),
        ).stdout.splitlines()
        present = {line.split()[1] for line in listed if line.startswith("ii")}
        missing = sorted(set(names) - present)
        if missing:
            self.run(*APT, "update")
            self.run(*APT, "install", "--no-install-recommends", *missing)
            self.note(f"installed {', '.join(missing)}")

    def purge(self, names: Sequence[str]) -> None:
        """The distribution's packages are not there, nor is their configuration. Their units are
        stopped before."""
        self.run(*APT, "purge", *names)
        self.note(f"removed {', '.join(names)}")

    def run(
        self,
        *argv: str,
        user: str | None = None,
        stdin: str | None = None,
        environment: Mapping[str, str] | None = None,
        accept: Sequence[int] = (0,),
        timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command, with `environment` beside its own. Raises ConvergeError when its exit
        code is not in `accept`."""
        command = ["runuser", "-u", user, "--", *argv] if user else list(argv)
        try:
            done = subprocess.run(
                command,
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout_s,
                cwd="/",
                env={**os.environ, **(environment or {})},
            )
        except subprocess.TimeoutExpired:
            raise ConvergeError(f"{' '.join(argv)} timed out after {timeout_s:.0f} s") from None
        if done.returncode not in accept:
            raise ConvergeError(
                f"{' '.join(argv)} failed with exit code {done.returncode}:\n"
                f"{(done.stdout + done.stderr).strip()}"
            )
        return done

    def wait(
        self,
        what: str,
        ready: Callable[[], bool],
        timeout_s: float = 60.0,
        pause_s: float = 0.2,
    ) -> None:
        """Poll every `pause_s` until `ready`. Raises ConvergeError, naming `what`, when it takes
        too long."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if time.monotonic() > deadline:
                raise ConvergeError(f"timed out after {timeout_s:.0f} s waiting for: {what}")
            time.sleep(pause_s)

    def require_mount(self, path: str) -> None:
        """Raises ConvergeError unless `path` is a mounted disk: else data would land beside it."""
        if not os.path.ismount(path):
            raise ConvergeError(
                f"{path} is not mounted; nothing was changed. On this machine run: "
                "sudo prepare-data-disk 0"
            )

    def _access(self, path: Path, owner: str, mode: int, *, quiet: bool = False) -> None:
        if _owner(path) != _numbers(owner):
            os.chown(path, *_numbers(owner))
            if not quiet:
                self.note(f"changed owner of {path} to {owner}")
        if path.stat().st_mode & 0o7777 != mode:
            path.chmod(mode)
            if not quiet:
                self.note(f"set mode {mode:04o} on {path}")


def _owner(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_uid, state.st_gid


def _numbers(user: str) -> tuple[int, int]:
    """A user's number, and that of the user's own group."""
    known = pwd.getpwnam(user)
    return known.pw_uid, known.pw_gid


def _replace(target: Path, data: bytes, prepare: Callable[[Path], None] = lambda _: None) -> None:
    """In one step, and on the disk."""
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    prepare(Path(name))
    Path(name).replace(target)
    sync_directory(target.parent)


def conclude(
    host: Host, program: str, desired: Mapping[str, Any], work: Callable[[], Mapping[str, Any]]
) -> int:
    """Do `work`, alone; print {changed, facts} as JSON, or why not. Returns the exit code. The
    machine remembers what `program` was asked for last, and what it has brought about.

    A run whose operator went away goes on here: the next one waits for its end, and finds its
    work done.
    """
    digest = sha256(json.dumps(desired, sort_keys=True).encode()).hexdigest()
    with Path(LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _remember(host, program, asked=digest, refused="")
        try:
            facts = work()
        except ConvergeError as error:
            _remember(host, program, refused=str(error))
            print(f"error: {error}", file=sys.stderr)
            return 1
        _remember(host, program, in_force=digest)
    print(json.dumps({"changed": host.changed, "facts": {**facts, "inForce": digest}}))
    return 0


def _remember(host: Host, program: str, **facts: str) -> None:
    """{program: {asked, in_force, refused}}: digests of desired states, and why the last run did
    not get there."""
    Path(STATE).mkdir(mode=0o700, exist_ok=True)
    known = json.loads(host.read(PROGRAMS) or "{}")
    known[program] = {**known.get(program, {}), **facts}
    host.keep(PROGRAMS, json.dumps(known))
