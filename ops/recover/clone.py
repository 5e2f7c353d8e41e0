"""A past state beside the running server: own directory, own socket, gone again with --drop.

The running server and its backups are not touched: the clone sees nothing of the disk but its own
folder, listens on a socket only, archives nothing, runs no worker of a subscription and no
scheduled job, and has a low memory setting and the lowest CPU weight.
"""

import re
import time

from rich.console import Console

from host.domain.control_data import minimums
from ops.archive.plan import Plan
from ops.archive.targets import Kind
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import barman, longrun, postgres, shell
from ops.reach.ssh import CommandFailed, Site
from ops.recover import access, replay, restore, space
from ops.recover.cluster import Cluster
from ops.runbook.progress import watched
from ops.screen import size

FOLDER = "/data/clones"
UNIT = "runbook-clone"
RESTORE_UNIT = "runbook-clone-restore"
START_TIMEOUT_S = 6 * 3600
RUNNING_UNTOUCHED = "The running server was not touched."
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")


class Clone:
    """Names of one clone on PostgreSQL's machine."""

    def __init__(self, name: str, port: int) -> None:
        if not _NAME.fullmatch(name):
            raise OperatorError(
                f"{name!r} is not a valid clone name: a letter, then a-z 0-9 _ -.", NOTHING_CHANGED
            )
        self.name, self.port = name, port
        self.folder = f"{FOLDER}/{name}"
        self.data = f"{self.folder}/data"
        self.unit = f"{UNIT}-{name}"

    @property
    def psql(self) -> str:
        """What to type on its machine to look inside."""
        return f"sudo -u postgres psql -h {self.folder} -p {self.port}"


def make(site: Site, clone: Clone, plan: Plan, console: Console) -> str:
    """Restore, replay, open for reading and writing. Raises OperatorError; leaves nothing then."""
    if site.postgres.run(["test", "-e", clone.folder], accept=(0, 1)).ok:
        raise OperatorError(
            f"A clone named {clone.name} exists already.",
            NOTHING_CHANGED,
            next_command=f"python -m ops clone --drop --name {clone.name}",
        )
    try:
        _restore(site, clone, plan, console)
        return _start(site, clone, plan)
    except (OperatorError, CommandFailed) as error:
        drop(site, clone)
        operator = isinstance(error, OperatorError)
        raise OperatorError(
            error.happened if operator else str(error),
            f"The clone was removed. {RUNNING_UNTOUCHED}",
            error.next_command if operator else None,
        ) from error


def require(site: Site, clone: Clone) -> None:
    """Raises OperatorError where there is no such clone."""
    there = site.postgres.run(["ls", FOLDER], accept=(0, 2)).stdout.split()
    if clone.name not in there:
        raise OperatorError(
            f"There is no clone named {clone.name}. There are: {', '.join(there) or 'none'}.",
            NOTHING_CHANGED,
        )


def drop(site: Site, clone: Clone) -> None:
    """Remove the clone, running or not."""
    longrun.stop(site.barman, RESTORE_UNIT)
    longrun.stop(site.postgres, clone.unit)
    site.postgres.run(["rm", "-rf", clone.folder], timeout_s=3600)


def _restore(site: Site, clone: Clone, plan: Plan, console: Console) -> None:
    outputs, machine = site.outputs, site.postgres
    owned = ("install", "-d", "-o", "postgres", "-g", "postgres")
    machine.run([*owned, "-m", "0755", FOLDER])
    machine.run([*owned, "-m", "0700", clone.folder, clone.data])
    console.print(f"restoring {size(plan.backup_size)} into {clone.data}", highlight=False)
    with watched(console, plan.backup_size, lambda: space.used_bytes(machine, clone.data)) as tick:
        longrun.run(
            site.barman,
            RESTORE_UNIT,
            restore.barman_recover(
                outputs.backup.server_name,
                plan.backup_id,
                clone.data,
                outputs.postgres.private_address,
            ),
            f"{barman.HOME}/{RESTORE_UNIT}-{clone.name}.log",
            user=barman.USER,
            adopt=False,
            tick=tick,
        )


def _start(site: Site, clone: Clone, plan: Plan) -> str:
    outputs, machine = site.outputs, site.postgres
    names = Cluster(outputs)
    binaries = f"/usr/lib/postgresql/{names.version}/bin"
    control = access.control(machine, names, clone.data)
    values = restore.replay_values(
        plan.target, plan.timeline, outputs.barman.private_address, outputs.backup.server_name
    )
    if plan.target.kind is not Kind.LATEST:
        values["recovery_target_action"] = "promote"
    files = {
        "clone.conf": restore.render(values),
        "pg_hba.conf": access.HBA,
        "pg_ident.conf": "",
    }
    for name, text in files.items():
        shell.write_file(machine, f"{clone.folder}/{name}", text, user=postgres.USER)
    restore.clean_auto_conf(site, clone.data)
    restore.signal(site, clone.data)
    machine.run(
        [
            *("systemd-run", "--quiet", "--collect", f"--unit={clone.unit}"),
            *(f"--uid={postgres.USER}", "--property=CPUWeight=1", "--property=KillSignal=SIGINT"),
            *(f"--property={name}={value}" for name, value in confinement(clone).items()),
            *(f"{binaries}/postgres", "-D", clone.data),
            *(f"--{name}={value}" for name, value in options(clone, control).items()),
        ]
    )
    return _wait(site, clone)


def confinement(clone: Clone) -> dict[str, str]:
    """Properties of the clone's unit: of the disk it sees its own folder, and the rest of the
    machine cannot be written. WAL names tablespaces by the paths that they have on the running
    server."""
    return {
        "ProtectSystem": "strict",
        "TemporaryFileSystem": "/data:ro",
        "BindPaths": clone.folder,
        "PrivateTmp": "yes",
        "NoNewPrivileges": "yes",
    }


def options(clone: Clone, control: str) -> dict[str, str]:
    """What holds whatever the files of the clone say, postgresql.auto.conf among them."""
    return {
        **access.ALWAYS,
        **minimums(control),
        "config_file": f"{clone.folder}/clone.conf",
        "hba_file": f"{clone.folder}/pg_hba.conf",
        "ident_file": f"{clone.folder}/pg_ident.conf",
        "port": str(clone.port),
        "unix_socket_directories": clone.folder,
        "shared_buffers": "128MB",
        "shared_preload_libraries": "",
        "archive_mode": "off",
    }


def _wait(site: Site, clone: Clone) -> str:
    deadline = time.monotonic() + START_TIMEOUT_S
    ask = ["psql", "-X", "-A", "-t", "-h", clone.folder, "-p", str(clone.port), "-d", "postgres"]
    while time.monotonic() < deadline:
        answer = site.postgres.run(
            ask, user=postgres.USER, stdin="SELECT pg_is_in_recovery()", accept=None
        )
        if answer.stdout.strip() == "f":
            return f"the clone is open: on {site.outputs.postgres.name}, {clone.psql}"
        state = site.postgres.run(["systemctl", "is-active", clone.unit], accept=None)
        if state.stdout.strip() not in ("active", "activating"):
            log = site.postgres.run(
                ["journalctl", "-u", clone.unit, "-n", "50", "-o", "cat"], accept=None
            ).stdout
            raise OperatorError(
                replay.explain(log),
                RUNNING_UNTOUCHED,
                "python -m ops window",
            )
        time.sleep(0.5)
    raise OperatorError(
        f"The clone was still replaying after {START_TIMEOUT_S // 3600} hours.", RUNNING_UNTOUCHED
    )
