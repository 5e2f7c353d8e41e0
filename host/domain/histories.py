"""Histories: files of one JSON object a line, appended to. A crash can leave a torn line."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def parse(text: str) -> list[dict[str, Any]]:
    """The entries, oldest first; a torn line, and what is no object, is left out."""
    entries = []
    # Not splitlines: JSON leaves U+2028 and its like inside a line.
    for line in text.split("\n"):
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            entries.append(entry)
    return entries


def read(path: Path, last_bytes: int | None = None) -> list[dict[str, Any]]:
    """The entries of a file, of its `last_bytes` alone if given; none if there is no file."""
    try:
        with path.open("rb") as stream:
            if last_bytes is not None:
                stream.seek(0, os.SEEK_END)
                stream.seek(max(0, stream.tell() - last_bytes))
            return parse(stream.read().decode(errors="replace"))
    except FileNotFoundError:
        return []


def append(path: Path, entry: Mapping[str, Any]) -> None:
    """Add one entry; it is on the disk when this returns. A torn line before it is ended.

    Raises OSError.
    """
    line = json.dumps(entry).encode() + b"\n"
    with path.open("ab+") as stream:
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                line = b"\n" + line
        stream.write(line)
        stream.flush()
        os.fsync(stream.fileno())
