"""A local snapshot becomes a copy's files: cloned, so that it takes a moment and no room."""

import json
import os
from pathlib import Path
from typing import Any

from host.domain import reflink
from host.domain.reflink import Cloned
from host.local_snapshots import snapshot
from host.local_snapshots.snapshot import DATA, TABLESPACES, Snapshot
from host.restored_copy.copy import Copy
from host.restored_copy.files import empty
from host.restored_copy.unpack import Places
from host.restored_copy.user import child


def main(document: dict[str, Any], name: str) -> None:
    """Fill the folders of the copy that `document` describes, which are there, from the snapshot
    called `name`, and print as JSON {bytes: how much there is}, or {failed: why}."""
    copy = Copy(**document)
    found = _find(name)
    if found is None:
        print(json.dumps(_gone(name)))
        return
    reader, writer = os.pipe()
    process = child(copy.user, lambda: _report(copy, found, writer))
    os.close(writer)
    with os.fdopen(reader) as said:
        answer = said.read()
    os.waitpid(process, 0)
    print(answer or json.dumps({"failed": "the program that clones the snapshot was ended"}))


def _report(copy: Copy, found: Snapshot, writer: int) -> None:
    os.write(writer, json.dumps(filled(copy, found)).encode())


def filled(copy: Copy, found: Snapshot) -> dict[str, Any]:
    """What `main` prints, of a snapshot that was there a moment ago."""
    try:
        cloned = _fill(copy, found)
    except OSError as error:
        if _find(found.id) is None:
            return _gone(found.id)
        return {"failed": f"{found.id} cannot be cloned: {error}"}
    # The keeper, or an operator, may have removed it meanwhile: its record goes first.
    if _find(found.id) is None:
        return _gone(found.id)
    if cloned != (found.files, found.bytes):
        return {
            "failed": f"{found.id} is damaged: it had {found.files} files of {found.bytes} bytes, "
            f"and {cloned.files} of {cloned.bytes} are there"
        }
    return {"bytes": cloned.bytes}


def _find(name: str) -> Snapshot | None:
    return next((each for each in snapshot.complete() if each.id == name), None)


def _gone(name: str) -> dict[str, Any]:
    return {"failed": f"there is no {name} any more"}


def _fill(copy: Copy, found: Snapshot) -> Cloned:
    """Clone all of it into the copy's folders, in which nothing else stays. Raises OSError."""
    for folder in (copy.data, copy.tablespaces):
        empty(Path(folder))
    Path(copy.kept_auto_conf).unlink(missing_ok=True)
    cloned = [reflink.clone(found.folder / DATA, Path(copy.data))]
    places = Places(copy, found.tablespaces)
    places.link()
    for oid, folder in places.folders.items():
        cloned.append(reflink.clone(found.folder / TABLESPACES / oid, folder))
    return Cloned(sum(each.files for each in cloned), sum(each.bytes for each in cloned))
