"""Brings a machine to a desired state: acts only where something differs, and says what it did."""

import fcntl
import grp
import json
import os
import pwd
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

COMMAND_TIMEOUT_S = 600
LOCK = "/run/converge.lock"


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
        """A directory with this owner and mode; parents that are missing belong to root."""
        target = Path(path)
        if not target.is_dir():
            target.mkdir(parents=True)
            self.note(f"created {path}")
        self._access(target, owner, mode)

    def file(self, path: str, content: str, owner: str = "root", mode: int = 0o644) -> bool:
        """A file with exactly this content; replaced in one step. True if the content changed."""
        target = Path(path)
        data = content.encode()
        same = target.is_file() and target.read_bytes() == data
        if not same:
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            self._access(Path(name), owner, mode, quiet=True)
            Path(name).replace(target)
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

    def restore(self, item: Mapping[str, Any], content: str | None) -> None:
        """A file back to what it was before `files` wrote it; None: it was not there."""
        if content is None:
            Path(item["path"]).unlink(missing_ok=True)
        else:
            self.file(item["path"], content, item["owner"], item["mode"])

    def harden(self, wanted: Sequence[Mapping[str, Any]]) -> None:
        """Settings of sshd and the kernel. Those that sshd refuses are taken back: it would not
        start again, and then nobody could log in to fix it. Raises ConvergeError."""
        before = {item["path"]: _text(item["path"]) for item in wanted}
        changed = self.files(wanted)
        if any(path.startswith("/etc/ssh/") for path in changed):
            try:
                self.run("sshd", "-t")
            except ConvergeError:
                for item in wanted:
                    self.restore(item, before[item["path"]])
                raise
            self.run("systemctl", "reload", "ssh")
            self.note("reloaded sshd")
        if any(path.startswith("/etc/sysctl.d/") for path in changed):
            self.run("systemctl", "restart", "systemd-sysctl")

    def service(self, unit: Mapping[str, Any], *, restart: bool) -> None:
        """A unit file of our own, enabled and running; restarted if it or what it runs changed."""
        name = Path(unit["path"]).name
        if self.files([unit]):
            self.run("systemctl", "daemon-reload")
            restart = True
        self.run("systemctl", "enable", "--quiet", name)
        running = self.run("systemctl", "is-active", name, accept=(0, 3, 4)).returncode == 0
        if restart or not running:
            self.run("systemctl", "restart", name)
            self.note(f"{'restarted' if running else 'started'} {name}")

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
            apt = ("apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=600")
            self.run(*apt, "update")
            self.run(
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                *apt,
                "install",
                "--no-install-recommends",
                *missing,
            )
            self.note(f"installed {', '.join(missing)}")

    def run(
        self,
        *argv: str,
        user: str | None = None,
        stdin: str | None = None,
        accept: Sequence[int] = (0,),
        timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command. Raises ConvergeError when its exit code is not in `accept`."""
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
            )
        except subprocess.TimeoutExpired:
            raise ConvergeError(f"{' '.join(argv)} timed out after {timeout_s:.0f} s") from None
        if done.returncode not in accept:
            raise ConvergeError(
                f"{' '.join(argv)} failed with exit code {done.returncode}:\n"
                f"{(done.stdout + done.stderr).strip()}"
            )
        return done

    def wait(self, what: str, ready: Callable[[], bool], timeout_s: float = 60.0) -> None:
        """Poll until `ready`. Raises ConvergeError, naming `what`, when it takes too long."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            if time.monotonic() > deadline:
                raise ConvergeError(f"timed out after {timeout_s:.0f} s waiting for: {what}")
            time.sleep(0.2)

    def require_mount(self, path: str) -> None:
        """Raises ConvergeError unless `path` is a mounted disk: else data would land beside it."""
        if not os.path.ismount(path):
            raise ConvergeError(
                f"{path} is not mounted; nothing was changed. On this machine run: "
                "sudo prepare-data-disk 0"
            )

    def _access(self, path: Path, owner: str, mode: int, *, quiet: bool = False) -> None:
        user = pwd.getpwnam(owner)
        group = grp.getgrgid(user.pw_gid)
        state = path.stat()
        if (state.st_uid, state.st_gid) != (user.pw_uid, group.gr_gid):
            os.chown(path, user.pw_uid, group.gr_gid)
            if not quiet:
                self.note(f"changed owner of {path} to {owner}")
        if state.st_mode & 0o7777 != mode:
            path.chmod(mode)
            if not quiet:
                self.note(f"set mode {mode:04o} on {path}")


def _text(path: str) -> str | None:
    return Path(path).read_text() if Path(path).exists() else None


def conclude(host: Host, work: Callable[[], Mapping[str, Any]]) -> int:
    """Do `work`, alone; print {changed, facts} as JSON, or why not. Returns the exit code.

    A run whose operator went away goes on here: the next one waits for its end, and finds its
    work done.
    """
    try:
        with Path(LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            facts = work()
    except ConvergeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"changed": host.changed, "facts": facts}))
    return 0
