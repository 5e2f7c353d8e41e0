"""Makes the Pulumi engine where there is none, so that a lab needs nothing installed beforehand.

Order: what binary.py finds, then the official release, then a build from the pinned modules in
tools/. What was downloaded or built is cached outside the checkout.
"""

import contextlib
import fcntl
import http.client
import platform
import shutil
import tarfile
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from engine import build
from engine.binary import (
    ENGINE_VERSION,
    PROGRAMS,
    cache_directory,
    complete,
    in_cache,
    installed,
    key,
)
from engine.errors import BuildError, NoEngineError

_RELEASE = "https://get.pulumi.com/releases/sdk/pulumi-v{version}-linux-{arch}.tar.gz"
_REACH_SECONDS = 3.0
_READ_SECONDS = 30.0
_RETRY_SECONDS = 24 * 3600

Echo = Callable[[str], None]


def ensure(root: Path, echo: Echo) -> Path:
    """Return the directory that holds PROGRAMS, making it first if need be.

    `root` is the checkout (its tools/ pins the build), `echo` takes one line of progress.
    Raises NoEngineError.
    """
    if found := installed():
        return found
    if platform.system() != "Linux":
        raise NoEngineError(
            "No pulumi 3.244 or newer on PATH. Install it from https://www.pulumi.com/docs/install/"
        )
    if cached := in_cache(root):
        return cached
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / key(root)
    with _alone(cache / "lock", echo):
        if complete(target):
            return target
        for dead in cache.glob(".making-*"):
            build.remove_tree(dead)
        work = Path(tempfile.mkdtemp(prefix=".making-", dir=cache))
        try:
            programs = work / "bin"
            programs.mkdir()
            if not _download(programs, cache, echo):
                _build(root / "tools", work, programs, echo)
            if not complete(programs):
                raise NoEngineError(f"The engine came without one of {', '.join(PROGRAMS)}.")
            programs.rename(target)
        finally:
            build.remove_tree(work)
    return target


@contextlib.contextmanager
def _alone(lock: Path, echo: Echo) -> Iterator[None]:
    """Hold `lock`, so that two checkouts do not make the same engine at once."""
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            echo("another process is making the engine: waiting for it")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _download(into: Path, cache: Path, echo: Echo) -> bool:
    """Try the official release. False, quickly, where it cannot be reached."""
    arch = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine())
    unreachable = cache / "release-unreachable"
    if arch is None or _fresh(unreachable):
        return False
    url = _RELEASE.format(version=ENGINE_VERSION, arch=arch)
    if not _reachable(url):
        unreachable.touch()
        return False
    try:
        with tempfile.TemporaryFile(dir=cache) as archive:
            with urllib.request.urlopen(url, timeout=_READ_SECONDS) as answer:  # noqa: S310
                total = int(answer.headers.get("Content-Length") or 0)
                while piece := answer.read(1 << 20):
                    archive.write(piece)
                    of = f" of {total >> 20}" if total else ""
                    echo(f"downloading pulumi {ENGINE_VERSION}: {archive.tell() >> 20}{of} MB")
            archive.seek(0)
            with tarfile.open(fileobj=archive, mode="r:gz") as tar:
                for member in tar:
                    name = Path(member.name).name
                    content = tar.extractfile(member) if name in PROGRAMS else None
                    if content is not None:
                        with (into / name).open("wb") as out:
                            shutil.copyfileobj(content, out)
                        (into / name).chmod(0o755)
    except (OSError, EOFError, http.client.HTTPException, tarfile.TarError) as failure:
        echo(f"the official release could not be downloaded ({failure}): building instead")
        unreachable.touch()
        return False
    return complete(into)


def _fresh(marker: Path) -> bool:
    return marker.exists() and time.time() - marker.stat().st_mtime < _RETRY_SECONDS


def _reachable(url: str) -> bool:
    """Whether `url` answers in time. A thread, because a name look-up knows no timeout."""
    answers: list[int] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - always https
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            urllib.request.urlopen(request, timeout=_REACH_SECONDS) as answer,  # noqa: S310
        ):
            answers.append(answer.status)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_REACH_SECONDS)
    return answers == [200]


def _build(tools: Path, work: Path, into: Path, echo: Echo) -> None:
    try:
        build.build(tools, ENGINE_VERSION, work, into, echo)
    except BuildError as failure:
        raise NoEngineError(
            f"The Pulumi engine could not be built: {failure}\n"
            "Nothing was changed. Either fix that and type `make up` again, or install pulumi\n"
            "3.244 or newer on PATH: https://www.pulumi.com/docs/install/"
        ) from failure
