"""A WAL file out of Barman, for a server that replays: there, missing, damaged or out of reach.

`barman get-wal` ends with 1 for a file that it does not have, for a damaged one, for a disk that is
not mounted and for a crash (3.13 to 3.20). PostgreSQL takes 1 for the end of the WAL and promotes.
"""

import os
from pathlib import Path

from host.domain.paths import MOUNT_POINT
from host.domain.wal import DIRECTORY, PARTIAL

# How files/barman-get-wal ends, beside Barman's own 0, 2 and 3.
MISSING, DAMAGED, UNSEEN = 1, 4, 5
# How restore_command ends when there is no telling that the WAL ends: PostgreSQL stops at more than
# 125 (its RestoreArchivedFile), logs the code, and can be started again.
STOPPED_BY_DAMAGE, STOPPED_BY_OUTAGE = 254, 255


def places(server: Path, name: str, *, partial: bool) -> list[Path]:
    """Every path at which Barman looks for the file `name` of the server whose folder is `server`
    (Server.get_wal_possible_paths). `partial`: segments that are still being received count."""
    directory = name[:16] if DIRECTORY.fullmatch(name[:16]) else ""
    folders = (server / "wals" / directory, server / "incoming", server / "streaming")
    suffixes = ("", PARTIAL) if partial else ("",)
    return [folder / f"{name}{suffix}" for folder in folders for suffix in suffixes]


def held(server: Path, name: str, *, partial: bool, mount_point: str = MOUNT_POINT) -> bool | None:
    """Whether Barman has the file; None where that cannot be seen, for its disk is not mounted."""
    if not os.path.ismount(mount_point) or not (server / "wals").is_dir():
        return None
    return any(place.exists() for place in places(server, name, partial=partial))
