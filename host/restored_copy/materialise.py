"""A backup that Barman has becomes a copy's files: fetched, unpacked and checked at once, as the
copy's user."""

import json
import os
import select
import signal
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from host.domain import manifest, packed
from host.domain.backup_sender import CONTENTS, MANIFEST
from host.domain.manifest import Damaged
from host.restored_copy import progress
from host.restored_copy.backup import Backup, OutOfReach
from host.restored_copy.complete import Complete
from host.restored_copy.copy import Copy
from host.restored_copy.feed import OUTAGE_S, RETRY_S
from host.restored_copy.reserve import require_reserve
from host.restored_copy.server import Failed
from host.restored_copy.unpack import Places, Unpacking
from host.restored_copy.user import child

POLL_S = 0.5
# What a power cut loses of a restore at the most.
SETTLE_EVERY_S = 5.0
Result = TypeVar("Result")


def main(document: dict[str, Any], backup: dict[str, Any], reserve: int, accepted: bool) -> None:
    """Materialise the copy that `document` describes, while more than `reserve` bytes are free, and
    print as JSON {bytes: how much there is}, or {failed: why}."""
    copy = Copy(**document)
    try:
        count = materialise(
            copy,
            Backup(**backup),
            lambda: require_reserve(copy, reserve),
            accepted=accepted,
        )
        found: dict[str, Any] = {"bytes": count}
    except Failed as failed:
        found = {"failed": str(failed)}
    print(json.dumps(found))


def materialise(
    copy: Copy, backup: Backup, watch: Callable[[], None], *, accepted: bool = False
) -> int:
    """Fill the copy's folders, which are there, with what `backup` holds, and nothing else; returns
    the bytes of its files. What an earlier one of the same backup has forced to the disk stays. A
    backup that is `accepted` although it is damaged is taken as it is, as far as it can be read.
    `watch` is called all the time; what it raises ends it. Raises Failed."""
    reader, writer = os.pipe()
    process = child(copy.user, lambda: _report(copy, backup, writer, accepted))
    os.close(writer)
    try:
        with os.fdopen(reader) as said:
            return _follow(copy, said.fileno(), watch)
    finally:
        # With what it has started: a sender would go on.
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError):
                kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


def _follow(copy: Copy, reader: int, watch: Callable[[], None]) -> int:
    """Read what the child reports until it is done."""
    text = b""
    while True:
        watch()
        if not select.select([reader], [], [], POLL_S)[0]:
            continue
        piece = os.read(reader, 2**16)
        if not piece:
            raise Failed("the program that unpacks the backup was ended")
        *lines, text = (text + piece).split(b"\n")
        for each in map(json.loads, lines):
            if "failed" in each:
                raise Failed(each["failed"])
            if "done" in each:
                return int(each["done"])
            if "note" in each:
                progress.note(copy, each["note"])
            else:
                progress.restored(copy, each["bytes"])


def _report(copy: Copy, backup: Backup, writer: int, accepted: bool) -> None:
    os.setsid()

    def tell(**what: Any) -> None:
        os.write(writer, json.dumps(what).encode() + b"\n")

    try:
        tell(done=Filling(copy, backup, accepted, tell).through())
    except Damaged as error:
        tell(failed=f"backup {backup.id} is damaged: {error}")
    except (Failed, OSError, ValueError) as error:
        tell(failed=str(error))


class Filling:
    """Fills a copy's folders; `tell` gets bytes=… and note=… on the way."""

    def __init__(
        self, copy: Copy, backup: Backup, accepted: bool, tell: Callable[..., None]
    ) -> None:
        self._copy, self._backup, self._accepted, self._tell = copy, backup, accepted, tell

    def through(self) -> int:
        """Until everything is there and on the disk; the bytes of all files. Raises Failed,
        Damaged, OSError."""
        copy, backup = self._copy, self._backup
        contents = json.loads(self._patiently(lambda: backup.read(CONTENTS)))
        listed = self._patiently(lambda: backup.read(MANIFEST))
        entries = manifest.read(listed)
        if not contents["packed"]:
            # Those that PostgreSQL makes unless asked for others, the verification has compared.
            entries = {path: manifest.comparable(entry) for path, entry in entries.items()}
        places = Places(copy, contents["tablespaces"])
        source = f"{backup.id} {sha256(listed).hexdigest()}"
        complete = Complete(Path(copy.folder), source, places.of)
        # What an old data directory still has would be taken over here, as complete.
        complete.remove_others(Path(copy.data), Path(copy.tablespaces))
        Path(copy.kept_auto_conf).unlink(missing_ok=True)
        places.link()
        unpacking = Unpacking(
            places, entries, complete, lambda count: self._tell(bytes=count), self._objected
        )
        self._all(unpacking, complete, [packed.BASE, *contents["tablespaces"]])
        if missing := unpacking.missing():
            self._objected(Damaged(manifest.first([manifest.absent(path) for path in missing])))
        return unpacking.bytes

    def _all(self, unpacking: Unpacking, complete: Complete, archives: list[str]) -> None:
        """All archives, as many at a time as there are CPUs; what is there is forced to the disk
        now and then, and at the end."""

        def one(archive: str) -> None:
            with self._backup.sent(archive) as compressed:
                unpacking.add(archive, compressed)

        together = ThreadPoolExecutor(max(2, os.cpu_count() or 1))
        left = {
            together.submit(self._patiently, partial(one, archive), lambda: unpacking.bytes)
            for archive in archives
        }
        while left:
            done, left = wait(left, SETTLE_EVERY_S, FIRST_EXCEPTION)
            for each in done:
                each.result()
            complete.settle()

    def _patiently(
        self, work: Callable[[], Result], progress: Callable[[], int] = lambda: 0
    ) -> Result:
        """Do it again while Barman's machine is out of reach, until there was no progress for
        OUTAGE_S."""
        seen, since = progress(), time.monotonic()
        while True:
            try:
                return work()
            except OutOfReach:
                if progress() > seen:
                    seen, since = progress(), time.monotonic()
                if time.monotonic() > since + OUTAGE_S:
                    raise
            self._tell(note="the backup cannot be fetched from Barman; trying again and again")
            time.sleep(RETRY_S)

    def _objected(self, damage: Damaged) -> None:
        if not self._accepted:
            raise damage
        self._tell(note=f"DAMAGED, and accepted: {damage}")
