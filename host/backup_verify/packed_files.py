"""A packed backup held against its manifest. pg_verifybackup can do that from PostgreSQL 18 on, and
only where nothing is compressed."""

from collections.abc import Callable, Mapping
from pathlib import Path

from host.domain import backup_info, manifest, packed
from host.domain.manifest import Damaged
from host.domain.packed import Member, Unreadable

# More than it ever has.
_BACKUP_INFO = 2**20


def wrong(data: Path, fields: Mapping[str, str], between: Callable[[], None]) -> list[str]:
    """What is wrong with the backup whose archives are in `data` and that has these `fields` of
    backup.info; empty where nothing is. `between` is called after every MiB, or more often."""
    try:
        files = manifest.Files(manifest.read((data / manifest.NAME).read_bytes()))
    except (OSError, Damaged) as error:
        return [str(error)]
    found = _unlike(data, fields)
    for name, path in packed.archives(data).items():
        found += _archive(name, path, files, between)
    return found + [manifest.absent(path) for path in files.missing()]


def wrong_outside(data: Path, fields: Mapping[str, str]) -> list[str]:
    """What is wrong with it as far as can be seen without reading the archives."""
    try:
        manifest.read((data / manifest.NAME).read_bytes())
        size = sum(path.stat().st_size for path in data.iterdir())
    except (OSError, Damaged) as error:
        return [str(error)]
    known = int(fields["size"])
    # Barman has counted its own backup.info, too.
    changed = not known - _BACKUP_INFO <= size <= known
    return _unlike(data, fields) + (
        [f"its files have {size} bytes, and had {known} when it ended"] if changed else []
    )


def _unlike(data: Path, fields: Mapping[str, str]) -> list[str]:
    tablespaces = backup_info.tablespaces(fields.get("tablespaces"))
    needed = [packed.BASE, *(str(each.oid) for each in tablespaces)]
    there = packed.archives(data)
    # A tablespace that was created while the backup waited for its checkpoint is in the backup, and
    # Barman has not noted where it belongs.
    return [
        *(f"{name}{packed.SUFFIX} is missing" for name in needed if name not in there),
        *(
            f"{name}{packed.SUFFIX} is of no known tablespace"
            for name in there
            if name not in needed
        ),
    ]


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
