"""Segments that are there before they are asked for: several come at a time, while others are
replayed."""

import os
import threading
from itertools import takewhile
from pathlib import Path

from host.domain.wal import name_of, number_of, timeline_of
from host.restored_copy.store import Connection, Store

# So many come at a time: while one waits for the disk or the network, another is uncompressed.
CONNECTIONS = 3
# What may lie there, in bytes: 16 segments of the default size; one, if segments are that large.
ROOM = 2**28


class Ahead:
    """Segments of `store` in `folder`, under names of their own until they are taken: one that
    nobody waits for must not be in the way of what is asked for meanwhile. They leave `reserve`
    bytes of the disk free."""

    def __init__(self, store: Store, folder: Path, reserve: int) -> None:
        self._store, self._folder, self._reserve = store, folder, reserve
        self._depth = max(1, ROOM // store.segment_size)
        self._changed = threading.Condition()
        # What is wanted, in order; of it, and of what was wanted before, what comes and is there.
        self._wanted: list[str] = []
        self._coming: set[str] = set()
        self._there: set[str] = set()
        # Of what is wanted, what could not be had: it does not exist yet, or is damaged, or Barman
        # is away. Neither it nor anything behind it is looked for until it has come when asked for.
        self._vain: set[str] = set()
        for _ in range(CONNECTIONS):
            threading.Thread(target=self._work, daemon=True).start()

    def take(self, name: str) -> bool:
        """Whether the segment came; it has its own name then. Waits for one that is coming."""
        with self._changed:
            self._changed.wait_for(lambda: name not in self._coming)
            self._wanted = [each for each in self._wanted if each != name]
            if name not in self._there:
                return False
            self._there.remove(name)
            self._path(name).rename(self._folder / name)
            return True

    def go_on_after(self, name: str) -> None:
        """That segment is being replayed: those after it on its timeline are wanted now. What was
        wanted before, and is not any more, is removed."""
        timeline, size = timeline_of(name), self._store.segment_size
        first = number_of(name, size) + 1
        names = (name_of(timeline, first + more, size) for more in range(self._depth))
        with self._changed:
            self._wanted = list(names)
            if name in self._vain:
                # It could be had after all.
                self._vain.clear()
            self._vain.intersection_update(self._wanted)
            for each in self._there.difference(self._wanted):
                self._there.remove(each)
                self._path(each).unlink()
            self._changed.notify_all()

    def _work(self) -> None:
        connection = Connection(self._store)
        while True:
            with self._changed:
                while (name := self._next()) is None:
                    self._changed.wait()
                self._coming.add(name)
            found = False
            try:
                found = connection.fetch(name, self._path(name), partial=False) == 0
            finally:
                # Whatever happened: somebody may wait for it.
                self._came(name, found=found)

    def _came(self, name: str, *, found: bool) -> None:
        with self._changed:
            self._coming.remove(name)
            self._changed.notify_all()
            wanted = name in self._wanted
            if found and wanted:
                self._there.add(name)
                return
            self._path(name).unlink(missing_ok=True)
            if wanted:
                self._vain.add(name)

    def _next(self) -> str | None:
        """What is to come next; None if nothing."""
        disk = os.statvfs(self._folder)
        free = disk.f_bavail * disk.f_frsize
        if free < self._reserve + max(ROOM, self._store.segment_size):
            return None
        if len(self._coming) + len(self._there) >= self._depth:
            return None
        begun = self._coming | self._there
        reached = takewhile(lambda name: name not in self._vain, self._wanted)
        return next((name for name in reached if name not in begun), None)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.ahead"
