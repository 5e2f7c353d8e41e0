"""A past state beside the running server: own directory, own socket, gone again with --drop.

The running server and its backups are not touched: the clone sees nothing of the disk but its own
folder, listens on a socket only, archives nothing, runs no worker of a subscription and no
scheduled job, and has a low memory setting and the lowest CPU weight.
"""

import re

from rich.console import Console

from host.domain.paths import CLONES
from host.restored_copy.confinement import BESIDE
from host.restored_copy.copy import Copy
from ops.archive.plan import Plan
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import postgres
from ops.reach.ssh import CommandFailed, Site
from ops.recover import copies, restore, space
from ops.recover.cluster import Cluster
from ops.screen import size

UNIT = "runbook-clone"
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
        self.folder = f"{CLONES}/{name}"

    def copy(self, site: Site) -> Copy:
        """The restored copy that it is."""
        return Copy(
            folder=self.folder,
            user=postgres.USER,
            version=Cluster(site.outputs).version,
            unit=f"{UNIT}-{self.name}",
            port=self.port,
        )

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
    copy = clone.copy(site)
    try:
        copies.create_folder(site.postgres, copy)
        console.print(f"restoring {size(plan.backup_size)} into {copy.data}", highlight=False)
        copies.restore(site, copy, plan, console, reserve=space.LEAST_BYTES)
        target = restore.target_settings(plan.target, plan.timeline, plan.restore_point)
        with copies.doubting_the_snapshot(plan):
            copies.prepare(site.postgres, copy, target, fresh=True)
            copies.replay(
                site.postgres,
                copy,
                copies.store(site.outputs, plan.segment_size),
                console,
                between=(plan.replay_from, plan.replay_to),
                reserve=space.LEAST_BYTES,
                properties=BESIDE,
            )
        copies.watch_reserve(site.postgres, copy, space.LEAST_BYTES)
    except KeyboardInterrupt:
        console.print(f"interrupted: the clone is removed. {RUNNING_UNTOUCHED}")
        drop(site, clone)
        raise
    except (OperatorError, CommandFailed) as error:
        drop(site, clone)
        operator = isinstance(error, OperatorError)
        raise OperatorError(
            error.happened if operator else str(error),
            f"The clone was removed. {RUNNING_UNTOUCHED}",
            error.next_command if operator else None,
        ) from error
    return (
        f"the clone is open: on {site.outputs.postgres.name}, {clone.psql}\n"
        f"(it is stopped should less than {size(space.LEAST_BYTES)} be free at /data)"
    )


def require(site: Site, clone: Clone) -> None:
    """Raises OperatorError where there is no such clone."""
    found = site.postgres.run(["ls", CLONES], accept=(0, 2)).stdout.split()
    there = [name for name in found if _NAME.fullmatch(name)]
    if clone.name not in there:
        raise OperatorError(
            f"There is no clone named {clone.name}. There are: {', '.join(there) or 'none'}.",
            NOTHING_CHANGED,
        )


def drop(site: Site, clone: Clone) -> None:
    """Remove the clone, running or not."""
    copies.remove(site.postgres, clone.copy(site))
