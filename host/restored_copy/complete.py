"""Which files of a copy are whole and on its disk, so that a restore that was cut off goes on."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock

from host.domain.disk import sync_file_system

NAME = "complete"


class Complete:
    """The files of what is restored into `folder` that need not come again, by their paths in the
    manifest; `place` says where one is. Those of an earlier run count if they are of the same
    `source`, were forced to the disk, and were not touched since: a power cut leaves files that
    have their size and not their content."""

    def __init__(self, folder: Path, source: str, place: Callable[[str], Path]) -> None:
        self._place = place
        # From the beginning on: the kernel tells what it could not write to who had it open.
        self._disk = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._adding = Lock()
        self._unsettled: list[tuple[str, int]] = []
        path = folder / NAME
        self._paths = dict(self._earlier(path, source))
        path.write_text(f"{json.dumps(source)}\n{self._lines(self._paths.items())}")
        self._list = path.open("a")

    def _earlier(self, path: Path, source: str) -> Iterator[tuple[str, int]]:
        lines = path.read_text().splitlines() if path.exists() else []
        if not lines or _read(lines[0]) != source:
            return
        for line in lines[1:]:
            found = _read(line)
            if isinstance(found, list) and _changed(self._place(found[0])) == found[1]:
                yield found[0], found[1]

    def __contains__(self, path: str) -> bool:
        return path in self._paths

    def paths(self) -> list[str]:
        """All of them."""
        return list(self._paths)

    def remove_others(self, *folders: Path) -> None:
        """Remove every other file from these folders: what was written half, or by others."""
        kept = {self._place(path) for path in self._paths}
        for folder in folders:
            for where, names, others in os.walk(folder):
                # A link to a folder is none that is gone into.
                for path in (Path(where, name) for name in (*others, *names)):
                    if path.is_symlink() or (not path.is_dir() and path not in kept):
                        path.unlink()

    def add(self, path: str) -> None:
        """This file has been written. For any thread."""
        changed = self._place(path).lstat().st_mtime_ns
        with self._adding:
            self._paths[path] = changed
            self._unsettled.append((path, changed))

    def settle(self) -> None:
        """Force what was written to the disk, and remember the files that were whole before. Raises
        OSError where the disk has not taken it."""
        with self._adding:
            settled, self._unsettled = self._unsettled, []
        sync_file_system(self._disk)
        self._list.write(self._lines(settled))
        self._list.flush()

    @staticmethod
    def _lines(files: Iterable[tuple[str, int]]) -> str:
        return "".join(f"{json.dumps(each)}\n" for each in files)


def _read(line: str) -> object:
    """A power cut may have left half a line, or zeros."""
    with suppress(ValueError):
        return json.loads(line)
    return None


def _changed(path: Path) -> int | None:
    with suppress(OSError):
        return path.lstat().st_mtime_ns
    return None
