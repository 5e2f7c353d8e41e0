"""What is kept for later: the intervals in which the RPO was not 0.

Events: `exposed` (commits are acknowledged without Barman from here on, with the reason) and
`protected`; `waiting` (commits wait for a Barman that does not answer) and `answered`.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from host.domain import histories
from host.domain.wal import show_lsn


def boot_id() -> str:
    """This boot of the machine: readings of the monotonic clock compare within one only."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


class History:
    """The file. `exposed` is why the RPO is not 0 by its last word, None if it is 0."""

    def __init__(self, path: Path, boot: str) -> None:
        self._path = path
        self._boot = boot
        self._began: dict[str, dict[str, Any]] = {}
        self.exposed: str | None = None
        self.waiting = False
        for event in histories.read(path):
            self._take(event)

    def append(self, event: str, now: float, position: int, **details: Any) -> dict[str, Any]:
        """Write one event; it is on the disk when this returns. `now` is the monotonic clock.

        Raises OSError; what was to be remembered is remembered in memory all the same.
        """
        record = {
            "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "event": event,
            "lsn": show_lsn(position),
            **details,
            "boot": self._boot,
            "monotonic": round(now, 3),
        }
        begin = self._began.get({"protected": "exposed", "answered": "waiting"}.get(event, ""))
        if begin and begin["boot"] == self._boot:
            # Wall clocks jump; this is how long it really was.
            record["seconds"] = round(now - begin["monotonic"], 3)
        self._take(record)
        histories.append(self._path, record)
        return record

    def _take(self, record: dict[str, Any]) -> None:
        event = record["event"]
        if event in ("exposed", "waiting"):
            self._began[event] = record
        if event == "exposed":
            self.exposed = record.get("reason")
            # Those that waited were let go, not answered.
            self.waiting = False
        elif event == "protected":
            self.exposed = None
        elif event in ("waiting", "answered"):
            self.waiting = event == "waiting"
