"""A cluster put in place of another: its data directory, and each tablespace where it belongs.

A cluster that is not in place has its tablespaces in a folder of their own, by their locations
(Copy.tablespace), so that another one's can stand there. All of it can be repeated after an
interruption at any point; nobody may be using either cluster.
"""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from host.restored_copy.copy import folder_of, location_of
from host.restored_copy.files import empty, links, locations, relink


@dataclass(frozen=True)
class Cluster:
    """The files of a cluster that is not in place."""

    data: Path
    tablespaces: Path


class Occupied(Exception):
    """Something stands where a tablespace is to be."""


def main(action: str, data: str, elsewhere: str, tablespaces: str, successor: str) -> None:
    """`set-aside` the cluster whose data directory is `data`, `put-in-place` the one at
    `elsewhere`, or `take-back` what was put in place from there; `discard` the one in place.
    After set-aside there is room for the tablespaces of the cluster whose data directory is
    `successor`. Prints {occupied: what} as JSON, null unless something was in the way."""
    cluster = Cluster(Path(elsewhere), Path(tablespaces))
    actions = {
        "set-aside": lambda: set_aside(
            Path(data), cluster, [Path(each) for each in locations(Path(successor))]
        ),
        "put-in-place": lambda: put_in_place(Path(data), cluster),
        "take-back": lambda: take_back(Path(data), cluster),
        "discard": lambda: discard(Path(data)),
    }
    try:
        actions[action]()
    except Occupied as occupied:
        print(json.dumps({"occupied": str(occupied)}))
    else:
        print(json.dumps({"occupied": None}))


def set_aside(data: Path, aside: Cluster, also: Sequence[Path] = ()) -> None:
    """Move the cluster in place out of the way, and whatever PostgreSQL has left at the locations
    `also`, as where only its data directory was lost. Its links lead to its own tablespaces then:
    whoever starts it by hand does not meet another one's."""
    source = aside.data if aside.data.exists() else data
    for location in {*map(Path, locations(source)), *also}:
        _move_contents(location, aside.tablespaces / folder_of(str(location)))
    if data.exists() and any(data.iterdir()) and not aside.data.exists():
        data.rename(aside.data)
    for link, target in links(aside.data).items():
        kept = aside.tablespaces / folder_of(str(target))
        if target.parent != aside.tablespaces:
            link.unlink()
            link.symlink_to(kept)


def put_in_place(data: Path, cluster: Cluster) -> None:
    """Move a cluster to where it belongs. Raises Occupied."""
    for kept in sorted(cluster.tablespaces.iterdir()) if cluster.tablespaces.is_dir() else ():
        _move_contents(kept, Path(location_of(kept.name)))
    if cluster.data.exists():
        relink(cluster.data)
        _own(data.parent, cluster.data)
        if data.exists():
            data.rmdir()
        cluster.data.rename(data)


def take_back(data: Path, cluster: Cluster) -> None:
    """The other way round."""
    source = cluster.data if cluster.data.exists() else data
    for location in locations(source):
        _move_contents(Path(location), cluster.tablespaces / folder_of(location))
    if not cluster.data.exists():
        data.rename(cluster.data)


def discard(data: Path) -> None:
    """Remove a cluster's files; its data directory stays, empty."""
    for location in locations(data):
        for folder in _contents(Path(location)):
            shutil.rmtree(folder)
    if data.exists():
        empty(data)


def _contents(folder: Path) -> list[Path]:
    """What PostgreSQL has in a tablespace's directory, one folder for each of its versions."""
    return sorted(folder.glob("PG_*")) if folder.is_dir() else []


def _move_contents(source: Path, target: Path) -> None:
    """The directory itself may be a disk of its own, which stays where it is."""
    for folder in _contents(source):
        to = target / folder.name
        if to.exists():
            raise Occupied(f"{to} is there already, and {folder} cannot be moved to it")
        _own(target, folder)
        try:
            folder.rename(to)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            part = target / f".{folder.name}.part"
            subprocess.run(["rm", "-rf", str(part)], check=True)
            subprocess.run(["cp", "-a", str(folder), str(part)], check=True)
            part.rename(to)
            # Or a power cut would leave one half-removed beside the one that is complete.
            gone = source / f".{folder.name}.moved"
            folder.rename(gone)
            shutil.rmtree(gone)


def _own(folder: Path, like: Path) -> None:
    """Make a directory that is not there, as its user's who has `like`."""
    if not folder.exists():
        status = like.stat()
        missing = [folder, *(each for each in folder.parents if not each.exists())]
        folder.mkdir(parents=True)
        for each in missing:
            os.chown(each, status.st_uid, status.st_gid)
            each.chmod(0o700 if each == folder else 0o755)
