"""`ops migrate compare`: the source and this server side by side, rows included. Both are only
read; the work is a unit on the PostgreSQL machine, which outlives the connection."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from host.domain.quoting import conninfo_value, identifier
from ops.errors import OperatorError
from ops.migrate import ask, credentials, facts, judged, left_out
from ops.migrate.address import Address
from ops.migrate.comparison import Comparison
from ops.migrate.complaints import ONLY_READ
from ops.migrate.facts import SourceFacts
from ops.reach import postgres, remote_python
from ops.reach.ssh import Machine, Site
from ops.recover.cluster import Cluster
from ops.runbook.progress import LINE_EVERY_S
from ops.screen import size

_UNIT = "migrate-compare"
_FOLDER = "/run/migrate-compare"
_MODULE = "ops.onmachine.compare.work"
# The postgres user's own, and empty after a reboot.
_PASSFILES = "/run/postgresql"


@dataclass(frozen=True)
class What:
    """What to compare: `databases`, all that would come along when empty. With `tables`, pairs of a
    schema and a name, only the rows of these, in the one database that is named then. `percent` of
    the rows of large tables is compared beside their keys. `run` is for whoever wants a comparison
    of its own: one of the same words that is under way, or whose end nobody saw, is taken else."""

    databases: tuple[str, ...] = ()
    tables: tuple[tuple[str, str], ...] | None = None
    percent: float = 100
    run: str = ""

    def __post_init__(self) -> None:
        if self.tables is not None and len(self.databases) != 1:
            raise ValueError("tables are those of one database")


def make(site: Site, address: Address, password: str, what: What, console: Console) -> Comparison:
    """Compare; says on `console` how far it has come. Raises OperatorError where one of the two
    cannot be asked; what of them cannot be compared is part of the answer."""
    state, _, _ = postgres.state(site.postgres, site.outputs.backup.slot)
    postgres.require_running(state)
    if what.tables is not None:
        found = _run(site, address, password, what, what.databases, (), console)
        return judged.comparison(found, address, site.postgres.name, what.percent)
    asker = ask.asker(site.postgres, address, password)
    source = facts.of_source(asker, address.database)
    names, shut = chosen(source, what.databases)
    services = [each for name in names for each in source.contents[name]["schemas"]]
    found = _run(site, address, password, what, names, services, console)
    return judged.comparison(
        found, address, site.postgres.name, what.percent, source.server["roles"], shut
    )


def chosen(source: SourceFacts, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The databases to compare, all of them without `names`, and those that should be and cannot be
    asked. Raises OperatorError for one that is not there, and where there is none."""
    there = [*source.contents, *source.shut]
    unknown = [name for name in names if name not in there]
    if unknown or not there:
        raise OperatorError(
            f"The source has no database {' '.join([*unknown[:1], 'with anything in it'])}.",
            ONLY_READ,
            f"the same again with one of these: {', '.join(there)}" if there else None,
        )
    wanted = names or there
    shut = [name for name in source.shut if name in wanted]
    open_ = [name for name in source.contents if name in wanted]
    if not open_:
        raise OperatorError(
            f"The source's user may not connect to {', '.join(shut)}.",
            ONLY_READ,
            f"GRANT CONNECT ON DATABASE {identifier(shut[0])} TO …;   (at the source)",
        )
    return open_, shut


def _run(
    site: Site,
    address: Address,
    password: str,
    what: What,
    databases: Sequence[str],
    services: Sequence[str],
    console: Console,
) -> dict[str, Any]:
    machine = site.postgres
    request: dict[str, Any] = {
        "binaries": Cluster(site.outputs).binaries,
        "account": postgres.USER,
        "databases": list(databases),
        "schemas": left_out.schemas(services),
        "tables": None if what.tables is None else [list(each) for each in what.tables],
        "percent": what.percent,
        "here": "application_name='ops migrate'",
    }
    words = json.dumps([request, address.for_work(address.database), what.run])
    unit = f"{_UNIT}-{hashlib.sha256(words.encode()).hexdigest()[:8]}"
    passfile, progress = f"{_PASSFILES}/{unit}.pgpass", f"{_FOLDER}/{unit}.progress"
    request |= {
        "source": f"{address.for_work(address.database)} passfile={conninfo_value(passfile)}",
        "progress": progress,
        "passfile": passfile,
    }
    credentials.write(machine, passfile, password)
    tick = _telling(machine, progress, console)
    try:
        found = remote_python.call_as_unit(machine, unit, _FOLDER, _MODULE, [request], tick)
    except OperatorError:
        # The unit has ended, perhaps before it could remove it.
        machine.run(["rm", "-f", passfile])
        raise
    # Of what was adopted when it had ended, the password was not needed any more.
    machine.run(["rm", "-f", passfile, progress])
    return found


def _telling(machine: Machine, path: str, console: Console) -> Callable[[float], None]:
    """What to call with the seconds so far: now and then it says how much was read."""
    shown = 0.0

    def tick(seconds: float) -> None:
        nonlocal shown
        if seconds - shown < LINE_EVERY_S:
            return
        shown = seconds
        said = machine.run(["cat", path], accept=(0, 1)).stdout
        if said:
            console.print(far(json.loads(said)), style="dim", markup=False, highlight=False)

    return tick


def far(progress: Mapping[str, int]) -> str:
    """How far it has come in the database that it is at, in words."""
    return (
        f"      {size(progress['bytes'])} of {size(progress['total_bytes'])}, "
        f"{progress['tables']} of {progress['total_tables']} tables"
    )
