"""Whether a machine has the shared libraries and the locales that databases need."""

import json
import locale
from collections.abc import Iterable
from pathlib import Path


def main(library_folder: str, libraries: list[str], locales: list[str]) -> None:
    there = Path(library_folder)
    missing = [f"library {name}" for name in libraries if not _found(there, name)]
    print(json.dumps(missing + [f"locale {name}" for name in locales if not known(name)]))


def files_of(folder: Path, library: str) -> Iterable[Path]:
    """Where PostgreSQL looks for a library (pg_proc.probin; dfmgr.c)."""
    path = folder / library.removeprefix("$libdir/")
    return path, path.with_name(f"{path.name}.so")


def known(name: str) -> bool:
    """Whether the C library has this locale."""
    try:
        locale.setlocale(locale.LC_ALL, name)
    except locale.Error:
        return False
    return True


def _found(folder: Path, library: str) -> bool:
    return any(path.is_file() for path in files_of(folder, library))
