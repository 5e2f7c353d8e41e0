"""How far WAL really is on Barman's disk, read from the files themselves. No Barman, no server."""

from collections import deque
from pathlib import Path

from host.domain.wal import PARTIAL, SEGMENT, start_of
from host.domain.wal_records import content_end


def received(directory: Path, segment_size: int) -> int | None:
    """Up to where the newest timeline's WAL is in the receiver's `directory`, in bytes; None if
    there is none."""
    names = [
        entry.name
        for entry in directory.iterdir()
        if SEGMENT.fullmatch(entry.name.removesuffix(PARTIAL))
    ]
    # Without `.partial` a segment is complete, and sorts before its own partial file.
    for name in sorted(names, reverse=True):
        start = start_of(name, segment_size)
        if not name.endswith(PARTIAL):
            return start + segment_size
        try:
            return start + content_end(directory / name, start)
        except FileNotFoundError:
            # It was completed between the two looks.
            return start + segment_size
    return None


class Lag:
    """For how long what the server had flushed has not been on Barman's disk."""

    def __init__(self) -> None:
        self._awaited: deque[tuple[float, int]] = deque()

    def seconds(self, now: float, server: int, disk: int) -> float:
        """`now` is a clock that never jumps; both positions in bytes, the server's read first."""
        if not self._awaited or server > self._awaited[-1][1]:
            self._awaited.append((now, server))
        elif server < self._awaited[-1][1]:
            # Another timeline, restored from before: what was awaited will never come.
            self._awaited = deque([(now, server)])
        while self._awaited and disk >= self._awaited[0][1]:
            self._awaited.popleft()
        return now - self._awaited[0][0] if self._awaited else 0.0
