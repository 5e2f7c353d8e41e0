"""Finds the Pulumi engine: a `pulumi` on PATH that is new enough, or one in the cache, which is
outside the checkout. What makes one where there is none is in bootstrap.py.

Every runbook begins here, so this imports little.
"""

import hashlib
import os
import platform
import re
import shutil
import subprocess
from pathlib import Path

ENGINE_VERSION = "3.259.0"
# From here on the program hears of every error of a plugin (pulumi/pulumi#23347).
OLDEST_ENGINE = (3, 244, 0)
PROGRAMS = ("pulumi", "pulumi-language-python", "pulumi-language-python-exec")


def available(root: Path) -> Path | None:
    """The engine's directory if there is one already; never downloads or builds."""
    return installed() or in_cache(root)


def installed() -> Path | None:
    """The directory of a `pulumi` on PATH, if new enough and complete with its language host."""
    found = shutil.which("pulumi")
    if found is None:
        return None
    home = Path(found).resolve().parent
    if not complete(home):
        return None
    version = _version(home / "pulumi")
    return home if version is not None and version >= OLDEST_ENGINE else None


def in_cache(root: Path) -> Path | None:
    """The directory of the engine that was made earlier from this checkout's pins."""
    target = cache_directory() / key(root)
    return target if complete(target) else None


def cache_directory() -> Path:
    """Where engines are kept, shared by every checkout of this user."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "postgres-barman" / "engine"


def key(root: Path) -> str:
    """Name of the cached engine: changes with the pins, the version and the processor."""
    digest = hashlib.sha256(f"{ENGINE_VERSION} {platform.machine()}\n".encode())
    for pins in sorted((root / "tools").glob("*/go.*")):
        digest.update(pins.parent.name.encode() + pins.name.encode() + b"\0" + pins.read_bytes())
    return f"v{ENGINE_VERSION}-{digest.hexdigest()[:16]}"


def complete(directory: Path) -> bool:
    """Whether all of PROGRAMS are there."""
    return all(os.access(directory / name, os.X_OK) for name in PROGRAMS)


def _version(pulumi: Path) -> tuple[int, int, int] | None:
    environment = dict(os.environ, PULUMI_SKIP_UPDATE_CHECK="true")
    try:
        said = subprocess.run(
            [str(pulumi), "version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            env=environment,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", said.strip())
    return (int(match[1]), int(match[2]), int(match[3])) if match else None
