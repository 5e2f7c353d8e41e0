"""A packed backup held against its manifest. pg_verifybackup can do that from PostgreSQL 18 on, and
only where nothing is compressed."""

from collections.abc import Callable, Iterable
from pathlib import Path

from host.domain import manifest, packed
from host.domain.manifest import Damaged
from host.domain.packed import Member, Unreadable


def wrong(data: Path, expected: Iterable[str], between: Callable[[], None]) -> list[str]:
    """What is wrong with the backup whose archives are in `data`; empty where nothing is. Those of
    the names `expected` must be among them. `between` is called now and then, every MiB or so."""
    try:
        files = manifest.Files(manifest.read((data / manifest.NAME).read_bytes()))
    except (OSError, Damaged) as error:
        return [str(error)]
    there = packed.archives(data)
    found = [f"{name}{packed.SUFFIX} is missing" for name in expected if name not in there]
    for name, path in there.items():
        found += _archive(name, path, files, between)
    return found + [f'"{path}" is in the manifest and not there' for path in files.missing()]


def _archive(
    name: str, path: Path, files: manifest.Files, between: Callable[[], None]
) -> list[str]:
    """What is wrong with one archive and the files in it."""
    found: list[str] = []
    try:
        compressed = path.open("rb", buffering=0)
    except OSError as error:
        return [str(error)]
    try:
        with compressed, packed.uncompressed(compressed) as tar:
            for member in packed.members(name, tar):
                if member.is_file:
                    found += _file(member, files, between)
    except Unreadable as error:
        found.append(f"{path.name}: {error}")
    return found


def _file(member: Member, files: manifest.Files, between: Callable[[], None]) -> list[str]:
    """What is wrong with a file's content. Raises Unreadable."""
    try:
        for _ in files.checked(member.path, member.size, member.read):
            between()
    except Unreadable:
        raise
    except Damaged as error:
        return [str(error)]
    return []
