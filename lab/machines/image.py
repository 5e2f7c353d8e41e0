"""The machines' image: built once per host by debootstrap, with layers of the packages that
machines have since downloaded, so that a warm boot fetches nothing.

Everything is immutable once it has its final name: machines may have it mounted.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.machines.spec import Hardware
from lab.names import Lab
from lab.shell import LabError, require_host, run

# The stack's machines are of the first two. The third is older: servers that data moves away from.
RELEASES = ("trixie", "forky", "bookworm")
PACKAGES = [
    "systemd",
    "systemd-sysv",
    "systemd-resolved",
    "libpam-systemd",
    "libnss-resolve",
    "libnss-myhostname",
    "dbus",
    "udev",
    "openssh-server",
    "sudo",
    "iproute2",
    "nftables",
    "python3",
    "cloud-init",
    "rsync",
    "e2fsprogs",
    "fdisk",
    "ca-certificates",
    "iputils-ping",
    "procps",
    "less",
    "netbase",
    "curl",
]

_HERE = Path(__file__).parent
_SETUP = _HERE / "image_setup.sh"
_ROOTFS = _HERE / "rootfs"
_HOST_CERTIFICATES = Path("/usr/local/share/ca-certificates")
_SCRIPTS = Path("/usr/share/debootstrap/scripts")
_ARCHIVES = Path("var/cache/apt/archives")
_LISTS = Path("var/lib/apt/lists")
_CHROOT = """
mount --bind /dev "$0/dev"
mount -t proc proc "$0/proc"
exec chroot "$0" "$@"
"""
# A machine that was provisioned with an older layer may still be running on it.
_LAYERS_KEPT = 3


def cache() -> Path:
    """Where images are kept: outside the checkout, shared by all of this user's labs."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "postgres-barman" / "image"


def ensure(release: str = "trixie", echo: Callable[[str], None] = print) -> Path:
    """The image's root directory, built first if need be (about a minute). Never write to it.

    Raises LabError if the release is unknown or the build fails; then nothing is left behind.
    """
    if release not in RELEASES:
        raise LabError(f"no image for release '{release}'; there are {', '.join(RELEASES)}")
    root = _home(release) / "root"
    if root.is_dir():
        return root
    require_host()
    with _locked(release):
        if not root.is_dir():
            echo(f"building the Debian {release} image of the machines, once: about a minute")
            _build(release, root)
    return root


def layers(release: str) -> list[Path]:
    """The newest layer of packages, as overlay directories to put above the root: none or one."""
    found = _layers(release)
    return found[-1:]


def harvest(lab: Lab, machine: str) -> int:
    """Make a new layer out of the packages `machine` has downloaded; how many were new to us.

    Safe while the machine runs, but call it when its installation is done. Without new packages
    there is no new layer. Packages of the last layer that were superseded are left out.
    """
    directory = lab.directory / "machines" / machine
    release = Hardware.read(directory / "hardware.json").image_release
    upper = directory / "upper"
    with _locked(release):
        known = {deb.name for layer in layers(release) for deb in (layer / _ARCHIVES).glob("*.deb")}
        # A package that was deleted there is a character device here.
        debs = [deb for deb in (upper / _ARCHIVES).glob("*.deb") if deb.is_file()]
        fresh = [deb for deb in debs if deb.name not in known]
        if not fresh:
            return 0
        _add_layer(release, upper, fresh)
    return len(fresh)


def _add_layer(release: str, upper: Path, fresh: list[Path]) -> None:
    home, root, previous = _home(release), ensure(release), layers(release)
    with _building(home) as layer:
        archives, lists = layer / _ARCHIVES, layer / _LISTS
        for directory in (_ARCHIVES, _LISTS):
            mirror_directories(root, layer, directory)
        superseded = {_package(deb) for deb in fresh}
        for old in previous:
            for deb in (old / _ARCHIVES).glob("*.deb"):
                if _package(deb) not in superseded:
                    os.link(deb, archives / deb.name)
        for deb in fresh:
            shutil.copy2(deb, archives / deb.name)
        newest = upper / _LISTS if any((upper / _LISTS).glob("*_Packages*")) else None
        for source in [newest] if newest else [old / _LISTS for old in previous]:
            for index in source.iterdir():
                if index.is_file() and index.name != "lock":
                    shutil.copy2(index, lists / index.name)
        number = int(previous[-1].name.removeprefix("packages-")) + 1 if previous else 1
        layer.chmod(0o755)
        layer.rename(home / f"packages-{number:06d}")
    for stale in _layers(release)[:-_LAYERS_KEPT]:
        shutil.rmtree(stale)


def mirror_directories(root: Path, layer: Path, directory: Path) -> None:
    """Make `directory` (relative) in a layer over `root`, it and its parents with the modes and
    owners they have in the root, where it has them: a layer's hide the root's."""
    for part in [*reversed(directory.parents), directory]:
        if not (root / part).exists():
            (layer / part).mkdir(exist_ok=True)
            continue
        target, like = layer / part, (root / part).stat()
        target.mkdir(exist_ok=True)
        target.chmod(like.st_mode & 0o7777)
        os.chown(target, like.st_uid, like.st_gid)


def _package(deb: Path) -> tuple[str, str]:
    """Name and architecture, out of `name_version_architecture.deb`."""
    name, _, rest = deb.stem.partition("_")
    return name, rest.rpartition("_")[2]


def _build(release: str, root: Path) -> None:
    # Newer than the host's debootstrap: every release is bootstrapped the way sid is.
    script = _SCRIPTS / (release if (_SCRIPTS / release).exists() else "sid")
    with _building(root.parent) as directory:
        # No mirror named: debootstrap's own default.
        run(["debootstrap", "--variant=minbase", release, directory, "", script], timeout=1800)
        overlay(_ROOTFS, directory)
        for certificate in _certificates():
            target = directory / "usr/local/share/ca-certificates"
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(certificate, target)
        resolver = directory / "etc/resolv.conf"
        resolver.unlink(missing_ok=True)
        shutil.copy("/etc/resolv.conf", resolver)
        shutil.copy(_SETUP, directory / "image_setup.sh")
        # A process namespace of its own: whatever the packages start ends with the build.
        own = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
        inside = ["sh", "-ec", _CHROOT, directory, "/image_setup.sh", release, *PACKAGES]
        run([*own, *inside], timeout=1800)
        (directory / "image_setup.sh").unlink()
        directory.chmod(0o755)
        directory.rename(root)


def overlay(source: Path, root: Path) -> None:
    """Copy the tree `source` over `root`. What only its owner may write on a machine stays so, even
    where the checkout came from an archive: tar.umask makes its files writable for their group."""
    shutil.copytree(source, root, dirs_exist_ok=True)
    for path in source.rglob("*"):
        copy = root / path.relative_to(source)
        copy.chmod(copy.stat().st_mode & ~0o022)


def _certificates() -> list[Path]:
    return sorted(_HOST_CERTIFICATES.rglob("*.crt"))


def _home(release: str) -> Path:
    """Directory of one image, named by everything that decides what is in it."""
    recipe = hashlib.sha256("\0".join([release, platform.machine(), *PACKAGES]).encode())
    files = sorted(path for path in _ROOTFS.rglob("*") if path.is_file())
    for file in [Path(__file__), _SETUP, *files, *_certificates()]:
        recipe.update(f"\0{file.name}\0{file.stat().st_mode & 0o111}\0".encode())
        recipe.update(file.read_bytes())
    return cache() / f"{release}-{recipe.hexdigest()[:12]}"


def _layers(release: str) -> list[Path]:
    named = (path for path in _home(release).glob("packages-*"))
    return sorted(path for path in named if re.fullmatch(r"packages-\d+", path.name))


@contextmanager
def _building(home: Path) -> Iterator[Path]:
    """A directory to build in, beside its final place; gone afterwards unless it was renamed."""
    directory = Path(tempfile.mkdtemp(prefix=".building-", dir=home))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _locked(release: str) -> Iterator[None]:
    """One builder at a time; what a builder that died left behind is cleared away."""
    home = _home(release)
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in home.glob(".building-*"):
            shutil.rmtree(left, ignore_errors=True)
        yield
