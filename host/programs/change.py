"""Files that a running program reads, brought into force or taken back.

What was there before is kept on the disk until the program runs with what is there now. A run that
is killed on the way leaves that to the next one: it knows that something is not in force yet, and
what to go back to.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from host.programs.converge import STATE, ConvergeError, Host

File = Mapping[str, Any]


class Change:
    """The files `wanted` ({path, content, owner, mode}) of one `reader`, whose name is a file
    name."""

    def __init__(self, host: Host, reader: str, wanted: Sequence[File]) -> None:
        self._host, self._wanted = host, wanted
        self._path = f"{STATE}/{reader}.json"
        self._before: dict[str, dict[str, Any] | None] = json.loads(host.read(self._path) or "{}")

    @property
    def unsettled(self) -> bool:
        """Whether the reader may not have loaded what is there."""
        return bool(self._before)

    def write(self) -> None:
        """Put the files there."""
        for item in self._wanted:
            path, there = item["path"], self._host.read(item["path"])
            if there != item["content"] and path not in self._before:
                self._before[path] = None if there is None else {**item, "content": there}
        if self._before:
            self._host.keep(self._path, json.dumps(self._before))
        self._host.files(self._wanted)

    def take_back(self) -> None:
        """Put back what was there when the reader had last loaded everything."""
        for item in self._wanted:
            if item["path"] in self._before:
                self._host.restore(item["path"], self._before[item["path"]])
        self.settle()

    def settle(self) -> None:
        """The reader has loaded what is there."""
        if self._before:
            self._host.remove(self._path)
            self._before = {}


def bring_into_force(
    host: Host,
    unit: str,
    files: Sequence[File],
    load: Callable[[bool], None],
    *,
    check: Sequence[str] = (),
) -> None:
    """Put the files there and have `unit`, which reads them, `load` them: that is called with
    whether it may not have yet. What the command `check` refuses, or the unit does not load, is
    taken back, so that it runs as before. Raises ConvergeError."""
    change = Change(host, unit, files)
    change.write()
    stale = change.unsettled or host.outdated(unit, [item["path"] for item in files])
    try:
        if stale and check:
            host.run(*check)
        load(stale)
    except ConvergeError as error:
        if not change.unsettled:
            raise
        change.take_back()
        try:
            load(True)
        except ConvergeError as still:
            raise ConvergeError(
                f"{error}\nThe files from before are back, and {unit} does not run with them "
                f"either: {still}"
            ) from error
        raise ConvergeError(f"{error}\nThe files from before are back, and in force.") from error
    change.settle()


def serve(host: Host, unit: str, files: Sequence[File], *, check: Sequence[str] = ()) -> None:
    """Have `unit` run with these files, all of which it reads when it starts; its own file and
    drop-ins may be among them."""
    bring_into_force(
        host, unit, files, lambda stale: host.run_unit(unit, restart=stale), check=check
    )


def serve_own(host: Host, service: Mapping[str, Any]) -> None:
    """The same for a unit of our own: {unit, files}."""
    unit = service["unit"]
    serve(host, unit["path"].rpartition("/")[2], [unit, *service["files"]])


def harden(host: Host, wanted: Mapping[str, File]) -> None:
    """Settings of `sshd`, the `kernel` and `needrestart`. What sshd refuses is taken back: it would
    not start again, and then nobody could log in to mend it. Raises ConvergeError."""

    def reload_sshd(stale: bool) -> None:
        if stale and host.active("ssh"):
            host.run("systemctl", "reload", "ssh")
            host.note("reloaded sshd")

    bring_into_force(host, "ssh", [wanted["sshd"]], reload_sshd, check=("sshd", "-t"))
    serve(host, "systemd-sysctl", [wanted["kernel"]])
    # Read whenever a package is installed.
    host.files([wanted["needrestart"]])
