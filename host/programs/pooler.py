"""PgBouncer on PostgreSQL's machine: brought about, paused around a restart, taken away."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from host.domain import pooler
from host.programs import certificate
from host.programs.change import bring_into_force, serve
from host.programs.converge import ConvergeError, Host

SERVICE = f"{pooler.UNIT}.service"


def converge(host: Host, desired: Mapping[str, Any]) -> None:
    """It runs as desired, and is not paused. Its role and its function are there before. Raises
    ConvergeError."""
    unit = desired["unit"]
    host.files([desired["account"]])
    host.run("systemd-sysusers", desired["account"]["path"])
    if not present(host):
        # Before the package, whose own unit would run as PostgreSQL's superuser.
        host.files([unit])
    host.packages(desired["packages"])
    directory = desired["directory"]
    host.directory(directory["path"], directory["owner"], directory["mode"])

    def reload(stale: bool) -> None:
        if stale and host.active(pooler.UNIT):
            host.run("systemctl", "reload", pooler.UNIT)
            host.note(f"reloaded {pooler.UNIT}")
            _await_certificate(host, desired)

    # Clients stay connected; a restart, for its unit's own file, ends their connections.
    bring_into_force(host, pooler.UNIT, desired["files"], reload)
    serve(host, SERVICE, [unit])
    resume(host)
    _await_certificate(host, desired)


def present(host: Host) -> bool:
    """Whether an update has brought it here that none has taken away."""
    return host.read(pooler.UNIT_FILE) is not None


def remove(host: Host) -> None:
    """It is not there. Its unit's file goes last: it says that there is something to remove."""
    host.run("systemctl", "disable", "--now", pooler.UNIT)
    host.purge([pooler.PACKAGE])
    host.run("rm", "-rf", pooler.FOLDER, pooler.ACCOUNT)
    host.restore(pooler.UNIT_FILE, None)
    host.run("systemctl", "daemon-reload")


@contextmanager
def paused(host: Host) -> Iterator[None]:
    """Its clients wait, where there is one, for what is done to PostgreSQL meanwhile; whatever
    becomes of that, they go on afterwards."""
    if not host.active(pooler.UNIT):
        yield
        return
    _tell(host, "PAUSE")
    try:
        yield
    finally:
        resume(host)


def resume(host: Host) -> None:
    """Its clients go on, whoever has paused it. Raises ConvergeError."""
    _tell(host, "RESUME")
    if pooler.paused(_tell(host, "SHOW STATE")):
        raise ConvergeError(
            f"PgBouncer is paused and does not resume: its clients wait. On this machine: "
            f"sudo systemctl restart {pooler.UNIT}"
        )


def _tell(host: Host, command: str) -> str:
    """What it says. It refuses to be paused twice, and to be resumed when it was not paused."""
    accepted = (0, pooler.REFUSED, pooler.SILENT, pooler.TIMED_OUT)
    return host.run(*pooler.console(command), user=pooler.USER, accept=accepted).stdout


def _await_certificate(host: Host, desired: Mapping[str, Any]) -> None:
    """It keeps the certificate it has when it dislikes a new one, and only logs it."""
    wanted = certificate.in_pem(Path(desired["server_file"]).read_text())
    address = desired["address"]
    try:
        host.wait(
            "PgBouncer to show its certificate",
            lambda: certificate.shown(address, pooler.PORT) == wanted,
            30,
        )
    except ConvergeError:
        raise ConvergeError(
            f"PgBouncer does not answer at {address}:{pooler.PORT}, or not with the certificate in "
            f"{desired['server_file']}. Why: journalctl -u {pooler.UNIT}. Then run pulumi up again"
        ) from None
