"""The program: `watch` as a service, which takes what is due and removes what has to go; `take`,
`list` and `drop ID` for runbooks, which read JSON."""

import fcntl
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from host.domain.paths import SNAPSHOTS

from . import snapshot
from .space import Disk, superfluous
from .take import Refused, take

CONFIGURATION = Path("/etc/local-snapshots.json")
# Read by the node exporter.
METRICS = Path("/run/durability-guard/local-snapshots.prom")
PERIOD_S = 5.0
# XFS gives the blocks of what was removed back in the background: one that goes for the sake of
# the disk may be enough.
SETTLE_S = 30.0
RETRY_S = 300.0


def main() -> None:
    """Run what argv names."""
    match sys.argv[1:]:
        case ["watch"]:
            Watch(json.loads(CONFIGURATION.read_text())).forever()
        case ["take"]:
            _answer(_take)
        case ["list"]:
            found = [each.document() | {"wrong": each.wrong()} for each in snapshot.complete()]
            print(json.dumps(found))
        case ["drop", name]:
            _answer(lambda: _drop(name))
        case _:
            sys.exit(f"usage: {sys.argv[0]} watch | take | list | drop ID")


def _answer(work: Callable[[], dict[str, Any]]) -> None:
    try:
        with alone(wait=True):
            found = work()
    except Refused as refused:
        found = {"refused": str(refused)}
    print(json.dumps(found))


def _take() -> dict[str, Any]:
    return take(scheduled=False).document()


def _drop(name: str) -> dict[str, Any]:
    known = {each.id: each for each in snapshot.complete()}
    if name not in known:
        raise Refused(f"there is no snapshot {name}; there are: {', '.join(known) or 'none'}")
    try:
        snapshot.remove(known[name].folder)
    except OSError as error:
        raise Refused(f"{name} cannot be removed: {error}") from None
    return {"dropped": name}


@contextmanager
def alone(*, wait: bool) -> Iterator[bool]:
    """Nobody else takes or removes snapshots meanwhile; whether that is so, where it is not waited
    for."""
    with Path(SNAPSHOTS, ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True


class Watch:
    """`every_s` is None where none is scheduled."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self._every_s: float | None = configuration["every_s"]
        self._kept: int = configuration["kept"]
        self._settled_at = self._try_at = 0.0
        self._complaint = ""
        # What cannot be removed, by its folder's name: why.
        self._stuck: dict[str, str] = {}

    def forever(self) -> None:
        """Look again and again."""
        while True:
            with alone(wait=False) as undisturbed:
                if undisturbed:
                    self.once()
            time.sleep(PERIOD_S)

    def once(self) -> None:
        """Whatever is to be done now."""
        incomplete = snapshot.incomplete()
        known = {folder.name for folder in incomplete} | {each.id for each in snapshot.complete()}
        self._stuck = {name: why for name, why in self._stuck.items() if name in known}
        for folder in incomplete:
            self._remove(folder, "it was interrupted, or not removed to its end")
        now = time.monotonic()
        disk = Disk.now()
        if not disk.short or now > self._settled_at:
            there = [each for each in snapshot.complete() if each.id not in self._stuck]
            for each in superfluous(there, self._kept, disk):
                self._remove(
                    each.folder, str(disk) if disk.short else "there are enough later ones"
                )
                self._settled_at = now + SETTLE_S
        if self._overdue(1.0) and now > self._try_at:
            self._take_scheduled()
        self._report()

    def _remove(self, folder: Path, why: str) -> None:
        """One that cannot be removed keeps nobody from the next."""
        try:
            snapshot.remove(folder)
        except OSError as error:
            if self._stuck.get(folder.name) != str(error):
                self._stuck[folder.name] = str(error)
                print(f"{folder.name} cannot be removed: {error}", flush=True)
        else:
            self._stuck.pop(folder.name, None)
            print(f"{folder.name} is removed: {why}", flush=True)

    def _report(self) -> None:
        new = METRICS.with_suffix(".new")
        # The folder is the durability guard's, which may be starting.
        with suppress(OSError):
            new.write_text(self._metrics())
            new.chmod(0o644)
            new.rename(METRICS)

    def _take_scheduled(self) -> None:
        try:
            print(f"{take(scheduled=True).id} is taken", flush=True)
            self._complaint = ""
        except Refused as refused:
            self._try_at = time.monotonic() + RETRY_S
            if str(refused) != self._complaint:
                self._complaint = str(refused)
                print(f"no snapshot was taken: {refused}", flush=True)

    def _overdue(self, intervals: float) -> bool:
        """Whether the last scheduled one is older than so many intervals."""
        if self._every_s is None:
            return False
        taken = [each.begin_time for each in snapshot.complete() if each.scheduled]
        # After the clock was set back, one from the future is none.
        last = max((each for each in taken if each <= time.time()), default=0.0)
        return time.time() - last >= intervals * self._every_s

    def _metrics(self) -> str:
        return (
            "# HELP local_snapshots Snapshots of the data directory on its own disk\n"
            "# TYPE local_snapshots gauge\n"
            f"local_snapshots {len(snapshot.complete())}\n"
            "# HELP local_snapshots_overdue The last one that was due was not taken\n"
            "# TYPE local_snapshots_overdue gauge\n"
            f"local_snapshots_overdue {int(self._overdue(2.0))}\n"
            "# HELP local_snapshots_stuck Those that cannot be removed\n"
            "# TYPE local_snapshots_stuck gauge\n"
            f"local_snapshots_stuck {len(self._stuck)}\n"
        )
