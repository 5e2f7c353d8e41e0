"""How far a copy has come, for whoever waits for it: one small file, gone with a reboot."""

import json
from pathlib import Path
from typing import Any

from host.restored_copy.copy import Copy

FOLDER = Path("/run/restored-copies")


def folder_of(copy: Copy) -> Path:
    """For the files of what works on this copy."""
    return FOLDER / copy.unit


def file_of(copy: Copy) -> Path:
    """The file of `read`."""
    return folder_of(copy) / "progress.json"


def restored(copy: Copy, count: int) -> None:
    """So many bytes of its files are there."""
    _write(copy, {**read(copy), "restored": count})


def at(copy: Copy, wal: str) -> None:
    """It asks for this WAL file."""
    _write(copy, {**read(copy), "wal": wal})


def checked(copy: Copy, bytes_read: int) -> None:
    """So much of its tables was read by the check."""
    _write(copy, {**read(copy), "checked": bytes_read})


def note(copy: Copy, text: str) -> None:
    """A line for the operator; the same one twice in a row is one."""
    seen = read(copy)
    notes = seen.get("notes", [])
    if notes[-1:] != [text]:
        _write(copy, {**seen, "notes": [*notes, text]})


def read(copy: Copy) -> dict[str, Any]:
    """{restored, wal, checked, notes}, each only once it is known."""
    try:
        return json.loads(file_of(copy).read_text())
    except FileNotFoundError:
        return {}


def _write(copy: Copy, state: dict[str, Any]) -> None:
    path = file_of(copy)
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(state))
    new.replace(path)
