"""What Barman has of one backup, sent for a restore: its manifest, and its archives, each a tar
compressed by zstd. A packed backup's lie there; of one in plain files they are made on the way.
"""

import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from host.domain import backup_info, manifest, packed

# What can be asked for besides an archive: {tablespaces: {oid: location}, packed: bool} as JSON.
CONTENTS, MANIFEST = "contents", "manifest"
# A core compresses several hundred MB a second so.
_COMPRESS = ("zstd", "-1", "--quiet", "--stdout")


class Missing(Exception):
    """Barman has no such backup, or nothing of that name in it."""


def send(server: Path, backup: str, what: str, out: BinaryIO) -> None:
    """Write to `out` what is asked for of a backup; `server` is Barman's directory of its server.
    Raises Missing, OSError, CalledProcessError."""
    fields = backup_info.read(server).get(backup)
    folder = server / "base" / backup
    if fields is None or not (folder / "data").is_dir():
        raise Missing(f"Barman has no backup {backup} any more")
    found = packed.archives(folder / "data")
    spaces = {
        str(each.oid): each.location for each in backup_info.tablespaces(fields.get("tablespaces"))
    }
    if what == CONTENTS:
        out.write(json.dumps({"tablespaces": spaces, "packed": bool(found)}).encode())
    elif what == MANIFEST:
        _file(folder / "data" / manifest.NAME, out)
    elif what != packed.BASE and what not in spaces:
        raise Missing(f"backup {backup} has no tablespace {what}")
    elif not found:
        _packed(folder / ("data" if what == packed.BASE else what), out)
    elif what in found:
        _file(found[what], out)
    else:
        raise Missing(f"{what}{packed.SUFFIX} of backup {backup} is not there any more")


def _file(path: Path, out: BinaryIO) -> None:
    with path.open("rb") as file:
        shutil.copyfileobj(file, out, 2**20)


def _packed(folder: Path, out: BinaryIO) -> None:
    """A directory of plain files as the archive that pg_basebackup would have made of it."""
    out.flush()
    with subprocess.Popen(_COMPRESS, stdin=subprocess.PIPE, stdout=out) as process:
        if process.stdin is None:
            raise AssertionError("a pipe was asked for")
        with tarfile.open(
            mode="w|", fileobj=process.stdin, format=tarfile.GNU_FORMAT, bufsize=2**20
        ) as tar:
            for path in _below(folder):
                tar.add(path, str(path.relative_to(folder)), recursive=False)
        process.stdin.close()
        if process.wait():
            raise subprocess.CalledProcessError(process.returncode, _COMPRESS)


def _below(folder: Path) -> Iterator[Path]:
    """What is in a folder, each folder before what is in it, without the manifest and without the
    links of tablespaces, which have archives of their own."""
    for path in sorted(folder.iterdir()):
        if path.name == manifest.NAME or path.is_symlink():
            continue
        yield path
        if path.is_dir() and path.name != packed.LINKS:
            yield from _below(path)
