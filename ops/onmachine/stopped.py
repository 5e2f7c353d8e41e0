"""Whether anything still uses a PostgreSQL data directory: the processes, not the pid file."""

import json
import os
from pathlib import Path

from host.domain.processes import entries


def main(data_directory: str) -> None:
    print(json.dumps({"users": users(Path(data_directory), Path("/proc"))}))


def users(data: Path, proc: Path) -> list[str]:
    """Processes whose working directory is `data`, as every PostgreSQL process's is.

    A directory that was deleted or replaced under them keeps its name with ` (deleted)`.
    """
    found = []
    for entry in entries(proc):
        try:
            where = os.readlink(entry / "cwd")  # noqa: PTH115
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
        except OSError:
            continue
        where = where.removesuffix(" (deleted)")
        if where == str(data) or where.startswith(f"{data}/"):
            found.append(f"{entry.name} {command}"[:120])
    return sorted(found)
