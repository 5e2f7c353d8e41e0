"""Barman's backup.info: one file of KEY=VALUE lines for each backup.

Barman's own parser (barman.infofile) is not used: its module layout changes between versions, it
imports half of Barman, which takes longer than reading a catalogue, and it is not where the
runbooks run. The file format has not changed since 2012.
"""

from ast import literal_eval
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from host.domain.wal import DEFAULT_SEGMENT_SIZE

# What an empty file means: a power cut can leave one, Barman does not force it to the disk.
EMPTY = "EMPTY"
# Begins the error of a backup that its verification, and nobody else, has found FAILED.
UNVERIFIED = "verification: "


def files(server: Path) -> dict[str, list[Path]]:
    """The files of each backup, by backup id, oldest backup first; `server` is Barman's directory
    of one server.

    Barman up to 3.13 has one beside the backup; a newer one keeps its own in meta/, which comes
    first here: it is there as soon as a backup begins and outlives a lost base/.
    """
    found: dict[str, list[Path]] = {}
    for path in server.glob("meta/*-backup.info"):
        found.setdefault(path.name.removesuffix("-backup.info"), []).append(path)
    for path in server.glob("base/*/backup.info"):
        found.setdefault(path.parent.name, []).append(path)
    return dict(sorted(found.items()))


def read(server: Path) -> dict[str, dict[str, str]]:
    """The fields of every backup of `server`, by backup id, oldest first."""
    return dict(_read(server))


def _read(server: Path) -> Iterator[tuple[str, dict[str, str]]]:
    for backup, paths in files(server).items():
        try:
            text = paths[0].read_text()
        except FileNotFoundError:
            # Deleted by the retention policy at this very moment.
            continue
        yield backup, fields(text)


def fields(text: str) -> dict[str, str]:
    """The fields of a backup.info that have a value, `status` always among them."""
    pairs = (line.partition("=") for line in text.splitlines())
    known = {key: value for key, equals, value in pairs if equals and value != "None"}
    return {"status": EMPTY, **known}


def segment_size(fields: Mapping[str, str]) -> int:
    """Bytes of a WAL segment of the server that was backed up; the default's while unknown."""
    return int(fields.get("xlog_segment_size") or DEFAULT_SEGMENT_SIZE)


def packed(fields: Mapping[str, str]) -> bool:
    """Whether the backup's files lie in compressed archives (packed.py)."""
    return fields.get("compression") == "zstd"


def stored_size(fields: Mapping[str, str]) -> int:
    """Bytes that the backup takes on Barman's disk; 0 while unknown."""
    return int(fields.get("deduplicated_size") or fields.get("size") or 0)


def restored_size(fields: Mapping[str, str]) -> int:
    """Bytes that its files take once they are restored; 0 while unknown. Of a packed one that is
    what the server's tablespaces took when the backup began."""
    return int(fields.get("cluster_size" if packed(fields) else "size") or 0)


class Tablespace(NamedTuple):
    """A tablespace of a server that was backed up; `location` is its path there."""

    name: str
    oid: int
    location: str


def tablespaces(text: str | None) -> tuple[Tablespace, ...]:
    """The field `tablespaces` of a backup.info, which is written as Python's lists are."""
    return tuple(Tablespace(*each) for each in literal_eval(text or "[]"))


def replaced(text: str, values: Mapping[str, str | None]) -> str:
    """A backup.info's text with some fields' values replaced; one that is not there stays away."""
    return "".join(
        f"{key}={values[key]}\n" if (key := line.partition("=")[0]) in values else f"{line}\n"
        for line in text.splitlines()
    )
