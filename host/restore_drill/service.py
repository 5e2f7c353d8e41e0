"""One drill: restore beside, replay to a random recent moment, check, remove, write it down."""

import fcntl
import json
import random
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import CalledProcessError
from typing import Any

from host.restored_copy import backup as stored
from host.restored_copy import check, confinement, files, materialise, replay, wal_client
from host.restored_copy.copy import Copy
from host.restored_copy.server import Failed, Refused, Server
from host.restored_copy.store import Store

from . import decision, history, machine
from .decision import Backup
from .machine import Declined

CONFIGURATION = Path("/etc/restore-drill.json")
LOCK = history.FOLDER / "lock"
# How long a drill that is due waits for a backup or a runbook to end.
PATIENCE_S = 12 * 3600.0
# systemd's unit takes this one for a success: nothing is wrong with the backup.
EXIT_DECLINED = 75
MARKER = "SELECT count(*), min(n), max(n), extract(epoch FROM max(at)) FROM drill.heartbeat"


class Drill:
    """One drill of the newest backup; `record` is what will be written down."""

    def __init__(self, configuration: dict[str, Any]) -> None:
        self.server_name: str = configuration["server"]
        self.home = Path(configuration["home"])
        self.scratch = Path(configuration["scratch"])
        self.queries: dict[str, str] = configuration["queries"]
        self.copy = copy_in(self.scratch, configuration["version"])
        self.server = Server(self.copy)
        self.reserve = 0
        self.record: dict[str, Any] = {
            "at": history.iso(time.time()),
            "backup_id": None,
            "outcome": "failed",
            "reason": None,
            "target_time": None,
            "rto_s": None,
            "rpo_s": None,
            "restored_bytes": None,
            "checks": [],
            "libraries": [],
            "locales": [],
        }

    def hold(self) -> dict[str, Any]:
        """Hold the drill and return its record; nothing of it is left on the disk."""
        try:
            backup = self._prepare()
            self._bring_back(backup)
            self._check()
            wrong = [check for check in self.record["checks"] if not check["ok"]]
            if wrong:
                raise Failed("; ".join(f"{check['name']}: {check['detail']}" for check in wrong))
            self.record["outcome"] = "passed"
        except Declined as declined:
            self.record |= {"outcome": "declined", "reason": str(declined)}
        except Failed as failed:
            self.record["reason"] = str(failed)
        except (OSError, Refused, CalledProcessError) as error:
            self.record["reason"] = f"{type(error).__name__}: {error}"
        finally:
            self.server.stop()
            machine.empty(self.scratch)
        return self.record

    def _prepare(self) -> Backup:
        self._phase("waiting for a running backup or runbook to end")
        deadline = time.monotonic() + PATIENCE_S
        while (reason := decision.busy(self._around())) and time.monotonic() < deadline:
            time.sleep(machine.POLL_S)
        if reason:
            raise Declined(f"{reason}, since hours")
        backup = machine.newest_backup(self.home, self.server_name)
        if backup is None:
            raise Failed("Barman has no complete backup")
        self.record["backup_id"] = backup.id
        around = self._around()
        if reason := decision.no_room(around, backup):
            raise Declined(reason)
        self.reserve = decision.reserve(around.total, backup)
        while (now := time.time()) < decision.earliest(backup, now) + decision.SETTLED_S:
            time.sleep(machine.POLL_S)
        target = decision.target(backup, now, random.SystemRandom().uniform)
        self.record["target_time"] = history.iso(target)
        return backup

    def _bring_back(self, backup: Backup) -> None:
        began = time.monotonic()
        self._phase(f"restoring backup {backup.id}")
        for folder in (self.copy.data, self.copy.tablespaces):
            machine.make_folder(Path(folder))
        source = stored.Backup(self.server_name, backup.id)
        self.record["restored_bytes"] = materialise.materialise(self.copy, source, self._watch)
        until = self.record["target_time"]
        self._phase(f"replaying to {until}")
        target = {"recovery_target_time": until, "recovery_target_timeline": "latest"}
        client = Path(wal_client.__file__).read_text()
        machine.as_barman(lambda: files.prepare(self.copy, target, client, fresh=True))
        store = Store(self.server_name, backup.segment_size)
        replay.replay(self.copy, store, confinement.BESIDE, self._watch, reserve=self.reserve)
        self.record["rto_s"] = round(time.monotonic() - began, 1)

    def _check(self) -> None:
        self._phase("checking")
        self._note("marker", self._marker)
        self._note("pg_amcheck", self._amcheck)
        for database, query in sorted(self.queries.items()):
            self._note(f"query in {database}", lambda d=database, q=query: self._query(d, q))

    def _note(self, name: str, check: Any) -> None:
        began = time.monotonic()
        try:
            detail, good = check(), True
        except (Failed, Refused) as failed:
            detail, good = str(failed), False
        seconds = round(time.monotonic() - began, 1)
        self.record["checks"].append(
            {"name": name, "ok": good, "detail": detail, "seconds": seconds}
        )

    def _marker(self) -> str:
        count, first, last, newest = self.server.query(MARKER, "postgres").split("|")
        wrong = decision.continuity(
            int(count), int(first) if first else None, int(last) if last else None
        )
        if wrong:
            raise Failed(wrong)
        until = history.seconds(self.record["target_time"])
        self.record["rpo_s"] = round(max(0.0, until - float(newest)), 1)
        return f"{count} rows, none missing"

    def _amcheck(self) -> str:
        found = check.check(self.server, limit=None, compare_heap=False, watch=self._watch)
        self.record |= {"libraries": found.libraries, "locales": found.locales}
        if found.damaged:
            raise Failed(found.words.strip()[-600:])
        if found.unchecked:
            names = (f"{name} ({why})" for name, why in found.unchecked.items())
            return f"no damage found; could NOT be checked: {', '.join(names)}"
        return "every table and index of every database is sound"

    def _query(self, database: str, query: str) -> str:
        answer = self.server.query(query, database)
        if answer != "t":
            # Not the answer itself: data have no place in a history that everybody may read.
            said = {"f": "f", "": "nothing"}.get(answer, "something that is not a boolean")
            raise Failed(f"the query returned {said} instead of t")
        return "true"

    def _around(self) -> decision.Surroundings:
        return machine.surroundings(self.home, self.server_name, self.scratch)

    def _watch(self) -> None:
        """Called all the time: a backup, a runbook and the disk's reserve come first."""
        around = self._around()
        if reason := decision.busy(around):
            raise Declined(f"broken off: {reason}")
        if around.free < self.reserve:
            raise Declined("aborted: free space on the disk fell below its reserve")

    def _phase(self, text: str) -> None:
        history.note(self.record | {"phase": text})
        say(6, text)


def copy_in(scratch: Path, version: str) -> Copy:
    """The copy that drills bring back."""
    return Copy(folder=str(scratch), user=machine.USER, version=version, unit="restore-drill-copy")


def clean(copy: Copy) -> None:
    """Remove what a drill that was killed has left, and write down that it was."""
    Server(copy).stop()
    machine.empty(Path(copy.folder))
    left = history.interrupted()
    if left is not None:
        left.pop("phase", None)
        left |= {"outcome": "failed", "reason": "the drill was killed, or the machine rebooted"}
        conclude(left)


def conclude(record: dict[str, Any]) -> None:
    """Write the record down and tell the journal."""
    history.append(record)
    history.CURRENT.unlink(missing_ok=True)
    priority = {"passed": 5, "declined": 4}.get(record["outcome"], 3)
    say(priority, f"restore drill {record['outcome']}: {json.dumps(record)}")


def say(priority: int, text: str) -> None:
    """A line for the journal, with syslog's priority."""
    print(f"<{priority}>{text}", file=sys.stderr, flush=True)


@contextmanager
def alone() -> Iterator[bool]:
    """Whether no other drill is at work; none begins inside."""
    with LOCK.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def main() -> None:
    """Hold a drill; with --clean only remove what a killed one has left."""
    configuration = json.loads(CONFIGURATION.read_text())
    with alone() as only:
        if not only:
            say(4, "another drill is running; nothing was done")
            return
        clean(copy_in(Path(configuration["scratch"]), configuration["version"]))
        if "--clean" in sys.argv[1:]:
            return
        record = Drill(configuration).hold()
        conclude(record)
    sys.exit({"passed": 0, "declined": EXIT_DECLINED}.get(record["outcome"], 1))
