"""A copy's files: what was restored becomes a data directory that the copy runs on."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from host.domain.packed import LINKS
from host.restored_copy import confinement
from host.restored_copy.copy import Copy, folder_of, location_of

AUTO_CONF = "postgresql.auto.conf"


def main(document: dict[str, Any], target: dict[str, str], client: str, fresh: bool) -> None:
    """As the copy's user: prepare the copy that `document` describes for a replay to `target`."""
    prepare(Copy(**document), target, client, fresh=fresh)


def prepare(copy: Copy, target: Mapping[str, str], client: str, *, fresh: bool) -> None:
    """Configure it to replay to `target` (settings in PostgreSQL's words) with the program `client`
    (wal_client.py) for a restore_command. One that is not `fresh` has begun to replay before: it
    goes on, or has been promoted."""
    data = Path(copy.data)
    if fresh:
        keep_auto_conf(copy)
        relink(data)
        (data / "standby.signal").unlink(missing_ok=True)
        (data / "recovery.signal").touch()
    Path(copy.wal).mkdir(exist_ok=True)
    Path(copy.client).write_text(client)
    for name, text in confinement.files(copy, target).items():
        Path(copy.folder, name).write_text(text)


def keep_auto_conf(copy: Copy) -> None:
    """Take what was set by ALTER SYSTEM out of the copy, as it was when it was backed up."""
    auto, kept = Path(copy.data, AUTO_CONF), Path(copy.kept_auto_conf)
    if not kept.exists():
        kept.write_text(auto.read_text() if auto.exists() else "")
    auto.write_text("")


def relink(data: Path) -> None:
    """Lead the links of tablespaces to their locations. There, a copy sees a directory of its
    own."""
    for link, target in links(data).items():
        if _is_elsewhere(target):
            link.unlink()
            link.symlink_to(location_of(target.name))


def locations(data: Path) -> list[str]:
    """Where the tablespaces of the cluster with this data directory belong."""
    return [
        location_of(target.name) if _is_elsewhere(target) else str(target)
        for target in links(data).values()
    ]


def links(data: Path) -> dict[Path, Path]:
    """Where each link of a tablespace in this data directory leads."""
    folder = data / LINKS
    found = folder.iterdir() if folder.is_dir() else ()
    return {link: link.readlink() for link in sorted(found) if link.is_symlink()}


def _is_elsewhere(target: Path) -> bool:
    """Whether a link leads to where the tablespace of a cluster that is not in place is kept."""
    return target.name.startswith(folder_of("/"))


def empty(folder: Path) -> None:
    """Remove everything in `folder`, which itself stays."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
