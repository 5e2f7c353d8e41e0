"""What a machine can say of itself in one process, and some files with it.

Runs as root; prints JSON.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

# `barman --version` imports all of Barman first.
_VERSION = "from barman.version import __version__; print(__version__)"


def main(mount_point: str, paths: Sequence[str]) -> None:
    names = Path("/etc/os-release").read_text().splitlines()
    seen = {
        "uptime_s": time.time() - Path("/proc/1").stat().st_mtime,
        "os": dict(line.split("=", 1) for line in names if "=" in line)["PRETTY_NAME"].strip('"'),
        "disk": disk(mount_point),
        "barman_version": version(shutil.which("barman")),
        "files": {path: text(Path(path)) for path in paths},
        # After the files: what they say was before it.
        "clock_s": time.monotonic(),
    }
    print(json.dumps(seen))


def disk(mount_point: str) -> dict[str, Any]:
    """The file system there."""
    found = os.statvfs(mount_point)
    return {
        "mounted": Path(mount_point).is_mount(),
        "total_bytes": found.f_blocks * found.f_frsize,
        "used_bytes": (found.f_blocks - found.f_bfree) * found.f_frsize,
        "free_bytes": found.f_bavail * found.f_frsize,
    }


def text(path: Path) -> str:
    """What is in a file; nothing where it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def version(program: str | None) -> str | None:
    """That of the Barman which `program` starts, asked by the interpreter in its first line; None
    where there is none."""
    with suppress(OSError, IndexError, subprocess.SubprocessError):
        interpreter = Path(program or "").read_text().splitlines()[0].removeprefix("#!").split()
        asked = [*interpreter, "-I", "-c", _VERSION]
        done = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()
    return None
