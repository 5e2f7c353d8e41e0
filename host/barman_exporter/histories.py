"""What drills and verifications wrote down."""

from datetime import datetime
from pathlib import Path
from typing import Any

from host.domain import histories

from .catalogue import Backup

# From the end: drills are weekly, verifications daily.
TAIL_BYTES = 256 * 1024


def entries(path: Path) -> list[dict[str, Any]]:
    """The last entries, the oldest first; none when nothing was ever written."""
    return [entry for entry in histories.read(path, TAIL_BYTES) if "at" in entry]


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


def unsound(found: list[Backup], verifications: list[dict[str, Any]]) -> list[str]:
    """The backups that did not pass their last verification: the damaged ones, and the newest
    complete one if WAL after it is damaged, for which a newer backup is the cure. As `ops status`
    counts them."""
    last = {entry.get("backup_id"): entry for entry in verifications}
    newest_done = max((backup.id for backup in found if backup.status == "DONE"), default="")
    return [
        backup.id
        for backup in found
        if (backup.status == "FAILED" or backup.id == newest_done)
        and not last.get(backup.id, {"ok": True}).get("ok")
    ]
