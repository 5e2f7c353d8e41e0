"""A backup that Barman has becomes a copy's files: fetched, unpacked and checked at once, as the
copy's user."""

import json
import os
import select
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from host.domain import manifest, packed
from host.domain.backup_sender import CONTENTS, MANIFEST
from host.domain.manifest import Damaged
from host.restored_copy import files, progress
from host.restored_copy.backup import Backup
from host.restored_copy.copy import Copy
from host.restored_copy.reserve import require_reserve
from host.restored_copy.server import Failed
from host.restored_copy.unpack import Unpacking
from host.restored_copy.user import child

POLL_S = 0.5


def main(document: dict[str, Any], backup: dict[str, Any], reserve: int) -> None:
    """Materialise the copy that `document` describes, while more than `reserve` bytes are free, and
    print as JSON {bytes: how much there is}, or {failed: why}."""
    copy = Copy(**document)
    try:
        count = materialise(copy, Backup(**backup), lambda: require_reserve(copy, reserve))
        found: dict[str, Any] = {"bytes": count}
    except Failed as failed:
        found = {"failed": str(failed)}
    print(json.dumps(found))


def materialise(copy: Copy, backup: Backup, watch: Callable[[], None]) -> int:
    """Fill the copy's folders, which are there, with what `backup` holds, and nothing else; returns
    the bytes of its files. `watch` is called all the time; what it raises ends it. Raises Failed.
    """
    reader, writer = os.pipe()
    process = child(copy.user, lambda: _report(copy, backup, writer))
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
            progress.restored(copy, each["bytes"])


def _report(copy: Copy, backup: Backup, writer: int) -> None:
    os.setsid()

    def tell(**what: Any) -> None:
        os.write(writer, json.dumps(what).encode() + b"\n")

    try:
        tell(done=_fill(copy, backup, lambda count: tell(bytes=count)))
    except Damaged as error:
        tell(failed=f"backup {backup.id} is damaged: {error}")
    except (Failed, OSError, ValueError) as error:
        tell(failed=str(error))


def _fill(copy: Copy, backup: Backup, told: Callable[[int], None]) -> int:
    for folder in (Path(copy.data), Path(copy.tablespaces)):
        files.empty(folder)
    contents = json.loads(backup.read(CONTENTS))
    entries = manifest.read(backup.read(MANIFEST))
    if not contents["packed"]:
        # As PostgreSQL writes it by itself, its checksums are of a kind that is not known here. The
        # verification has compared them.
        entries = {path: manifest.of_size(entry) for path, entry in entries.items()}
    unpacking = Unpacking(copy, contents["tablespaces"], entries, told)
    _all(backup, unpacking, [packed.BASE, *contents["tablespaces"]])
    unpacking.end()
    return unpacking.bytes


def _all(backup: Backup, unpacking: Unpacking, archives: list[str]) -> None:
    """All archives, as many at a time as there are CPUs."""

    def one(archive: str) -> None:
        with backup.sent(archive) as compressed:
            unpacking.add(archive, compressed)

    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as together:
        for each in [together.submit(one, archive) for archive in archives]:
            each.result()
