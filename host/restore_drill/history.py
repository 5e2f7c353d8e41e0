"""What is kept of drills: one JSON object a line, for others to read (docs/drills.md)."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from host.domain import histories, paths

FOLDER = Path(paths.DRILL_STATE)
HISTORY = Path(paths.DRILL_HISTORY)
# Of the drill under way. One that is there without a drill is what a killed one has left.
CURRENT = FOLDER / "current.json"


def iso(moment: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def seconds(text: str) -> float:
    """The same, the other way round."""
    return datetime.fromisoformat(text).timestamp()


def append(record: dict[str, Any], path: Path = HISTORY) -> None:
    """Add one drill; it is on the disk when this returns."""
    histories.append(path, record)


def note(state: dict[str, Any], path: Path = CURRENT) -> None:
    """Remember what the drill under way does, for `ops drill` and for what comes after a crash."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(state))
    new.replace(path)


def interrupted(path: Path = CURRENT) -> dict[str, Any] | None:
    """What a drill that did not end had noted; None if there was none."""
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}
