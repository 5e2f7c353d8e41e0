"""What drills and verifications wrote down, one JSON object a line; a torn line is skipped."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

# From the end: drills are weekly, verifications daily.
TAIL_BYTES = 256 * 1024


def entries(path: Path) -> list[dict[str, Any]]:
    """The last entries, the oldest first; none when nothing was ever written."""
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - TAIL_BYTES))
            lines = stream.read().splitlines()
    except FileNotFoundError:
        return []
    found = []
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and "at" in entry:
            found.append(entry)
    return found


def at(entry: dict[str, Any] | None) -> float:
    """When, in seconds since 1970; 0 for never."""
    return datetime.fromisoformat(entry["at"]).timestamp() if entry else 0.0


def newest(found: list[dict[str, Any]], **wanted: Any) -> dict[str, Any] | None:
    """The last entry with these values."""
    return next(
        (
            entry
            for entry in reversed(found)
            if all(entry.get(key) == value for key, value in wanted.items())
        ),
        None,
    )
