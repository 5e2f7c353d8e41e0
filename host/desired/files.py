"""The words in which a machine is described: files, directories, units."""

from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

from host import render


@dataclass(frozen=True)
class File:
    """A file with exactly this content, owner and mode; its group is the owner's own. The content
    may be secret."""

    path: str
    content: str = field(repr=False)
    owner: str = "root"
    mode: int = 0o644


@dataclass(frozen=True)
class Directory:
    """A directory with this owner and mode; its group is the owner's own."""

    path: str
    owner: str = "root"
    mode: int = 0o755


@dataclass(frozen=True)
class Desired:
    """What one program of host/programs brings about. Its fields are the keys that the program
    reads."""

    def document(self) -> dict[str, Any]:
        """Everything as mappings and sequences, ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class OwnService:
    """A unit of our own, and what it reads when it starts."""

    unit: File
    files: tuple[File, ...] = ()


def program(path: str, source: str) -> File:
    """A program of host/files, installed as `path`."""
    return File(path, render.program_file(source), mode=0o755)


def library(package: str) -> tuple[File, ...]:
    """The modules of a package of host/, where the program that starts it looks for it."""
    sources = render.library_sources(package)
    return tuple(
        File(f"{render.LIBRARIES}/{package}/{name}", text) for name, text in sources.items()
    )


def domain() -> tuple[File, ...]:
    """host/domain, which programs on both machines import."""
    return _by_own_name("domain")


def restored_copy() -> tuple[File, ...]:
    """host/restored_copy, which drills use; host/domain belongs to it."""
    return _by_own_name("restored_copy")


def _by_own_name(package: str) -> tuple[File, ...]:
    sources = render.own_name_sources(package)
    return tuple(File(f"{render.LIBRARIES}/{path}", text) for path, text in sources.items())


def domain_digest() -> str:
    """Which host/domain there is. In a service's configuration, it makes a new one a reason to
    restart the service, which has imported the old one."""
    sources = "".join(file.path + file.content for file in domain())
    return sha256(sources.encode()).hexdigest()


def unit(name: str, text: str) -> File:
    """A systemd unit of our own."""
    return File(f"/etc/systemd/system/{name}", text)


def drop_in(unit_name: str, name: str, text: str) -> File:
    """What is laid over a systemd unit of the distribution's."""
    return File(f"/etc/systemd/system/{unit_name}.d/{name}", text)


def ssh_directory(user: str, home: str) -> Directory:
    """The directory that keys go into; sshd insists on its mode."""
    return Directory(f"{home}/.ssh", owner=user, mode=0o700)


def ssh_files(
    *, user: str, home: str, private_key: str, known_hosts: str, authorized_keys: str
) -> tuple[File, ...]:
    """What `user` needs to reach the other machine, and to be reached from it."""
    contents = {
        "id_ed25519": private_key,
        "known_hosts": known_hosts,
        "authorized_keys": authorized_keys,
    }
    return tuple(
        File(f"{home}/.ssh/{name}", text, owner=user, mode=0o600) for name, text in contents.items()
    )


@dataclass(frozen=True)
class Hardening:
    """What narrows what a machine does and lets others do; docs/security.md lists it."""

    sshd: File
    kernel: File
    needrestart: File


def hardening(sshd_conf: str) -> Hardening:
    """With `sshd_conf` for sshd."""
    return Hardening(
        # Before 50-cloud-init.conf: of several values sshd takes the first.
        sshd=File("/etc/ssh/sshd_config.d/10-hardening.conf", sshd_conf, mode=0o600),
        kernel=File(
            "/etc/sysctl.d/90-hardening.conf", render.program_file("sysctl-hardening.conf")
        ),
        needrestart=File(
            "/etc/needrestart/conf.d/postgresql.conf",
            render.program_file("needrestart-postgresql.conf"),
        ),
    )
