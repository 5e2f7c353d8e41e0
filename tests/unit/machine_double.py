"""A machine that the programs of host/programs believe in: its files, and what each unit that runs
has loaded of them. It can be made to lose its operator after any single side effect."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from host.programs.converge import STATE, ConvergeError, Host

Files = dict[str, str]


class Killed(Exception):
    """The program was killed."""


@dataclass
class Unit:
    """`loaded` is what it read when it started, or was reloaded, at moment `since`."""

    since: int
    loaded: Files


@dataclass
class Machine:
    """Files by path; `written` says when. `refuses` says which command ends with an error, given
    all files."""

    files: Files = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    units: dict[str, Unit] = field(default_factory=dict)
    read_by_systemd: Files = field(default_factory=dict)
    now: int = 0
    kill_after: int | None = None
    refuses: Callable[[Sequence[str], Files], bool] = lambda argv, files: False
    answers: Callable[[str, "Machine"], str] = lambda sql, machine: ""

    def effect(self) -> None:
        """Something has changed for good."""
        self.now += 1
        if self.kill_after is not None:
            self.kill_after -= 1
            if self.kill_after == 0:
                raise Killed

    def wanted(self) -> Files:
        """The files but those by which one run tells the next."""
        return {path: text for path, text in self.files.items() if not path.startswith(STATE)}

    def load(self, unit: str) -> None:
        """The unit reads everything."""
        self.units[unit.removesuffix(".service")] = Unit(self.now, dict(self.files))
        self.effect()


class DoubleHost(Host):
    """The programs' way to a Machine."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.machine = machine

    def note(self, change: str) -> None:
        self.changed.append(change)

    def directory(self, path: str, owner: str, mode: int) -> None:
        """There are no directories here."""

    def read(self, path: str) -> str | None:
        return self.machine.files.get(path)

    def keep(self, path: str, content: str) -> None:
        self._write(path, content)

    def file(self, path: str, content: str, owner: str = "root", mode: int = 0o644) -> bool:
        if self.machine.files.get(path) == content:
            return False
        self._write(path, content)
        self.note(f"wrote {path}")
        return True

    def remove(self, path: str) -> None:
        self.machine.files.pop(path, None)
        self.machine.effect()

    def restore(self, path: str, before: Mapping[str, Any] | None) -> None:
        if before is None:
            self.remove(path)
        else:
            self.file(path, before["content"])

    def outdated(self, unit: str, paths: Sequence[str]) -> bool:
        running = self.machine.units.get(unit.removesuffix(".service"))
        since = running.since if running else 0
        return any(self.machine.written[path] > since for path in paths)

    def packages(self, names: Sequence[str]) -> None:
        """Everything is installed."""

    def utc(self) -> None:
        """It is UTC."""

    def require_mount(self, path: str) -> None:
        """Everything is mounted."""

    def run(
        self,
        *argv: str,
        user: str | None = None,
        stdin: str | None = None,
        environment: Mapping[str, str] | None = None,
        accept: Sequence[int] = (0,),
        timeout_s: float = 0,
    ) -> subprocess.CompletedProcess[str]:
        code, output = self._ran(argv, stdin or "")
        if code not in accept:
            raise ConvergeError(f"{' '.join(argv)} failed with exit code {code}")
        return subprocess.CompletedProcess(argv, code, output, "")

    def _write(self, path: str, content: str) -> None:
        self.machine.files[path] = content
        self.machine.written[path] = self.machine.now
        self.machine.effect()

    def _ran(self, argv: Sequence[str], stdin: str) -> tuple[int, str]:
        machine, unit = self.machine, argv[-1].removesuffix(".service")
        if machine.refuses(argv, machine.files):
            # A unit that does not start with what is there does not run.
            if argv[:2] == ("systemctl", "restart"):
                machine.units.pop(unit, None)
                machine.effect()
            return 1, ""
        match argv:
            case ("systemctl", "show", *_):
                return 0, "yes" if machine.read_by_systemd != machine.files else "no"
            case ("systemctl", "daemon-reload"):
                machine.read_by_systemd = dict(machine.files)
                machine.effect()
            case ("systemctl", "is-active", _):
                return 0 if unit in machine.units else 3, ""
            case ("systemctl", "restart" | "reload" | "start", _):
                machine.load(unit)
            case ("barman", "--version"):
                return 0, "3.13.0 Barman"
            case ("psql", *_):
                return 0, machine.answers(stdin, machine)
            case _:
                pass
        return 0, ""
