"""Puts the lab's provider plugins where the engine looks for plugins: in a PULUMI_HOME.

A plugin is a folder `plugins/resource-NAME-vVERSION` with one executable `pulumi-resource-NAME`.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import yaml

_MARK = "# Written by the lab; an official plugin may take this place."
_OFFLINE = "no-plugin-downloads"
_RUNTIME = "lab-python"

# How long a download may take to begin, to finish, and how long it is not tried again.
_FIRST_BYTE = 2.0
_WHOLE = 180.0
_PAUSE = 24 * 3600.0


@dataclass(frozen=True)
class Plugin:
    """One provider: its name, the Python package whose version it must have, our module."""

    name: str
    package: str
    module: str

    def executable(self, home: Path) -> Path:
        folder = f"resource-{self.name}-v{version(self.package)}"
        return home / "plugins" / folder / f"pulumi-resource-{self.name}"


AZURE = Plugin("azure-native", "pulumi-azure-native", "lab.azure")
STAND_INS = (
    Plugin("command", "pulumi-command", "lab.standins.command"),
    Plugin("random", "pulumi-random", "lab.standins.random"),
)


def install(home: Path, other_home: Path | None = None) -> None:
    """Make `home` hold the lab's azure-native, and `command` and `random`.

    Of the latter the official plugins are kept, taken from `other_home` or downloaded where
    possible; whether they can be downloaded is found out once a day, in at most a few seconds.
    Needs `pulumi` on PATH only to download.
    """
    _write(AZURE, home)
    for plugin in STAND_INS:
        if _is_official(plugin, home):
            continue
        if other_home and _is_official(plugin, other_home):
            _share(plugin, other_home, home)
        elif not _download(plugin, home):
            _write(plugin, home)


def install_policy_pack(home: Path, pack: Path, into: Path) -> None:
    """Make the directory `into` a policy pack that runs the one in `pack` with this Python.

    An engine hands a Python pack to its Python language host, and the one that can be built here
    (sdk v3.79.0) is too old for it: it does not know where newer engines say the pack is, and runs
    the Pulumi program instead. So the pack gets a runtime of its own, which every engine starts as
    an analyzer plugin (pulumi/pkg, resource/plugin/analyzer_plugin.go).
    """
    executable = home / "plugins" / f"analyzer-policy-{_RUNTIME}-v1.0.0"
    executable /= f"pulumi-analyzer-policy-{_RUNTIME}"
    executable.parent.mkdir(parents=True, exist_ok=True)
    start = shlex.join([sys.executable, "-u", "-m", "pulumi.policy"])
    executable.write_text(f'#!/bin/sh\n{_MARK}\nexec {start} "$1" {shlex.quote(str(pack))}\n')
    executable.chmod(0o755)
    described = (pack / "PulumiPolicy.yaml").read_text()
    into.mkdir(parents=True)
    (into / "PulumiPolicy.yaml").write_text(
        yaml.dump(yaml.safe_load(described) | {"runtime": _RUNTIME})
    )


def _is_official(plugin: Plugin, home: Path) -> bool:
    executable = plugin.executable(home)
    if not executable.exists() or Path(f"{executable.parent}.partial").exists():
        return False
    with executable.open("rb") as start:
        return _MARK.encode() not in start.read(512)


def _share(plugin: Plugin, from_home: Path, home: Path) -> None:
    """The engine overlooks a folder that is a link itself (sdk, workspace/plugins.go)."""
    folder = plugin.executable(home).parent
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(plugin.executable(from_home.resolve()).parent, folder, copy_function=os.symlink)


def _write(plugin: Plugin, home: Path) -> None:
    executable = plugin.executable(home)
    checkout = Path(__file__).resolve().parents[1]
    # -P: the working directory is some program's, and not to be imported from.
    command = f"PYTHONPATH={shlex.quote(str(checkout))} exec {shlex.quote(sys.executable)} -P"
    text = f'#!/bin/sh\n{_MARK}\n{command} -m {plugin.module} "$@"\n'
    if executable.exists() and executable.read_text(errors="replace") == text:
        return
    executable.parent.mkdir(parents=True, exist_ok=True)
    partial = executable.with_name(f".{os.getpid()}")
    partial.write_text(text)
    partial.chmod(0o755)
    partial.replace(executable)
    # What the engine leaves behind when a download is cut off makes it overlook the plugin.
    Path(f"{executable.parent}.partial").unlink(missing_ok=True)


def _download(plugin: Plugin, home: Path) -> bool:
    """Whether the official plugin could be put into `home`."""
    note = _cache() / _OFFLINE
    if note.exists() and time.time() - note.stat().st_mtime < _PAUSE:
        return False
    if shutil.which("pulumi") is None:
        return False
    if _fetch(plugin, home):
        return True
    shutil.rmtree(plugin.executable(home).parent, ignore_errors=True)
    note.parent.mkdir(parents=True, exist_ok=True)
    note.touch()
    return False


def _fetch(plugin: Plugin, home: Path) -> bool:
    argv = ["pulumi", "plugin", "install", "resource", plugin.name, f"v{version(plugin.package)}"]
    with tempfile.TemporaryDirectory(prefix="plugin-") as scratch:
        around = os.environ | {
            "PULUMI_HOME": str(home),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "TMPDIR": scratch,
        }
        fetching = subprocess.Popen(
            argv, env=around, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _wait_for_first_byte(fetching, Path(scratch))
            return fetching.wait(timeout=_WHOLE) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            fetching.kill()
            fetching.wait()


def _wait_for_first_byte(fetching: "subprocess.Popen[bytes]", scratch: Path) -> None:
    """Raise TimeoutExpired unless the archive begins to arrive, or the program ends, in time."""
    deadline = time.monotonic() + _FIRST_BYTE
    while fetching.poll() is None and not any(f.stat().st_size for f in scratch.iterdir()):
        if time.monotonic() > deadline:
            raise subprocess.TimeoutExpired(fetching.args, _FIRST_BYTE)
        time.sleep(0.05)


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "postgres-barman"
