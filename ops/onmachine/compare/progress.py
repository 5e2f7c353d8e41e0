"""How far a comparison has come, for whoever waits for it: one small file."""

import json
import threading
from pathlib import Path

NAME = "progress.json"


class Progress:
    """Bytes and tables, of those that there are; `path` is None where nobody waits."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._state = {"bytes": 0, "total_bytes": 0, "tables": 0, "total_tables": 0}

    def expect(self, size: int, tables: int) -> None:
        """So much more is to be read."""
        self._add(total_bytes=size, total_tables=tables)

    def done(self, size: int) -> None:
        """A table of this size was read on both sides."""
        self._add(bytes=size, tables=1)

    def _add(self, **more: int) -> None:
        with self._lock:
            for name, value in more.items():
                self._state[name] += value
            if self._path is not None:
                new = self._path.with_suffix(".new")
                new.write_text(json.dumps(self._state))
                new.replace(self._path)
