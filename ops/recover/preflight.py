"""Everything that can be known before anything is touched: refuses what cannot work."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime

from host.domain.backup_sender import CONTENTS
from host.restored_copy.check import OPEN_DATABASES
from ops.archive import catalogue, plan, snapshots
from ops.archive.catalogue import Backup, Catalogue
from ops.archive.plan import Located, Plan
from ops.archive.targets import Kind, Point, Target
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.model import PostgresStatus
from ops.reach import barman, postgres, remote_python
from ops.reach.ssh import Site
from ops.recover import copies, soundness, space
from ops.recover.cluster import Cluster
from ops.runbook import runs
from ops.screen import moment
from ops.watch import drills, startable

LOCATE_TIMEOUT_S = 3600


@dataclass
class Preflight:
    """What was found, for the plan on screen."""

    plan: Plan
    server: PostgresStatus
    soundness: str = ""
    clients: list[str] = field(default_factory=list)
    free_bytes: int = 0
    old_bytes: int = 0
    warnings: list[str] = field(default_factory=list)
    unlogged: list[str] = field(default_factory=list)
    """Tables that PostgreSQL empties at a recovery, as far as they can be asked for."""


def check(
    site: Site,
    point: Point,
    *,
    discard_old_data: bool | None = False,
    other_cluster: bool = False,
) -> Preflight:
    """Raises OperatorError with what to do instead. Changes nothing.

    `discard_old_data` is None where the running server's data is not touched. `other_cluster`
    allows the running server to be another cluster than the backup's.
    """
    runs.refuse_if_busy(site)
    outputs = site.outputs
    held = catalogue.read(site.barman, outputs.barman.data_directory, outputs.backup.server_name)
    now = datetime.now(UTC)
    held = held.model_copy(update={"snapshots": snapshots.read(site.postgres)})
    server, _, _ = postgres.state(site.postgres, outputs.backup.slot)
    chosen = plan.choose(
        held,
        point.target,
        now,
        backup_id=point.backup_id,
        timeline=point.timeline,
        located=locate(site, held, point.target, point.timeline),
        distrust=_distrust(site, server),
    )
    backup = _restorable(site, held, chosen)
    if server.accepting and server.system_id != chosen.system_id and not other_cluster:
        raise OperatorError(
            f"The running server is another cluster (system identifier {server.system_id}) than "
            f"the one backed up ({chosen.system_id}).",
            NOTHING_CHANGED,
            next_command="python -m ops rebuild postgres   (if that machine is new and empty)",
        )
    found = Preflight(plan=chosen, server=server)
    if server.accepting:
        if discard_old_data is not None:
            require_startable(site)
        found.clients = clients(site)
        found.unlogged = _unlogged(site)
        if discard_old_data is not None:
            found.warnings += _slots(site)
    if other_cluster or not server.accepting:
        found.warnings += _missing(site)
    found.free_bytes = space.free_bytes(site.postgres)
    found.old_bytes = space.used_bytes(site.postgres, outputs.postgres.data_directory)
    space.require(
        site,
        chosen.room,
        free=found.free_bytes,
        old=found.old_bytes,
        discard=discard_old_data,
    )
    if discard_old_data is not None:
        of_barman = held.backup(chosen.barman_backup_id or chosen.backup_id)
        stored = of_barman.stored_size if of_barman else None
        warning = space.require_on_barman(site, stored or 0)
        grown = space.growth(
            found.free_bytes + (found.old_bytes if discard_old_data else 0),
            found.old_bytes,
            found.old_bytes if chosen.local else chosen.backup_size,
        )
        found.warnings += [each for each in (warning, grown) if each]
    _connections(site, chosen)
    found.soundness = _soundness(site, held, backup)
    return found


def _distrust(site: Site, server: PostgresStatus) -> str | None:
    """Why the blocks that local snapshots share with the server's files may be spoilt."""
    if not server.accepting:
        return "for PostgreSQL does not run, and what has hit its files may have hit the snapshot"
    failures = "SELECT coalesce(sum(checksum_failures), 0) FROM pg_stat_database"
    if int(postgres.query(site.postgres, failures)):
        return "for PostgreSQL has read damaged blocks, which the snapshot may share"
    return None


def _soundness(site: Site, held: Catalogue, backup: Backup) -> str:
    if backup.local:
        return f"of {moment(backup.end_time)}, every file is there with its size"
    return soundness.check(site, held, backup)


def locate(site: Site, held: Catalogue, target: Target, timeline: int | None) -> Located | None:
    """Where a transaction or a restore point is. Raises OperatorError if Barman's WAL lacks it."""
    if target.kind not in (Kind.XID, Kind.NAME):
        return None
    runs = [
        [run.timeline, held.position(run.first), held.position(run.last)]
        for run in sorted(held.runs, key=lambda r: (r.timeline, r.last), reverse=True)
        if timeline in (None, run.timeline)
    ]
    answer = remote_python.call(
        site.barman,
        "ops.onmachine.locate",
        [
            site.outputs.barman.data_directory,
            site.outputs.backup.server_name,
            str(target.kind),
            target.value,
            str(held.segment_size),
            json.dumps(runs),
        ],
        user=barman.USER,
        timeout_s=LOCATE_TIMEOUT_S,
    )
    if answer is None:
        raise OperatorError(
            f"No WAL that Barman holds contains {target.describe().split('including ')[-1]}.",
            NOTHING_CHANGED,
            next_command="python -m ops window",
        )
    return Located(
        timeline=answer["timeline"],
        lsn=answer["lsn"],
        time=datetime.fromtimestamp(answer["time"], UTC),
        begin=answer["begin"],
    )


def _restorable(site: Site, held: Catalogue, chosen: Plan) -> Backup:
    backup = held.backup(chosen.backup_id)
    if backup is None:
        raise ValueError(f"the plan's backup {chosen.backup_id} is not in the catalogue")
    major = str((backup.version or 0) // 10000)
    ours = site.outputs.postgres.version.split(".")[0]
    if major != ours:
        raise OperatorError(
            f"Backup {backup.backup_id} is of PostgreSQL {major}, the machine has {ours}.",
            NOTHING_CHANGED,
        )
    if site.outputs.postgres.data_directory != backup.pgdata:
        raise OperatorError(
            f"Backup {backup.backup_id} is of {backup.pgdata}, the stack's data directory is "
            f"{site.outputs.postgres.data_directory}.",
            NOTHING_CHANGED,
        )
    return backup


def clients(site: Site) -> list[str]:
    """Who is connected, a line for each role, database and address."""
    said = postgres.query(
        site.postgres,
        "SELECT format('%s in %s from %s (%s)', usename, datname, "
        "coalesce(host(client_addr), 'the machine itself'), count(*)) FROM pg_stat_activity "
        "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "
        "AND application_name <> 'heartbeat' "
        "GROUP BY usename, datname, client_addr ORDER BY 1",
    )
    return [line for line in said.split("\n") if line]


def require_startable(site: Site) -> None:
    """Raises OperatorError where the running server could not be started again, by what was set
    since it was started: then there would be no going back."""
    if obstacle := startable.obstacle(site):
        raise OperatorError(
            "PostgreSQL runs, and could not be started again with its present settings: "
            f"{obstacle}",
            NOTHING_CHANGED,
            next_command=startable.REMEDY,
        )


def require_serving(found: Preflight, *, discard_old_data: bool) -> None:
    """Raises OperatorError where the server cannot go on while a copy is brought back."""
    if found.plan.target.kind is Kind.LATEST:
        raise OperatorError(
            "--while-serving needs a target in the past: for the latest state the server has to "
            "stop first, or there is no last commit.",
            NOTHING_CHANGED,
            next_command="the same without --while-serving, or with --target-time",
        )
    if not found.server.accepting or discard_old_data:
        raise OperatorError(
            "--while-serving needs a server that runs, and its data.",
            NOTHING_CHANGED,
            next_command="the same without --while-serving",
        )


_UNLOGGED = """
SELECT format('%s.%s.%s', current_database(), n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relpersistence = 'u' AND c.relkind IN ('r', 'm') ORDER BY 1
"""


def _unlogged(site: Site) -> list[str]:
    names = json.loads(postgres.query(site.postgres, OPEN_DATABASES))
    said = (postgres.query(site.postgres, _UNLOGGED, database=name) for name in names)
    return [line for answer in said for line in answer.splitlines()]


def _slots(site: Site) -> list[str]:
    """Other tools' replication slots, which no backup has."""
    ask = "SELECT slot_name FROM pg_replication_slots WHERE NOT temporary ORDER BY 1"
    ours = site.outputs.backup.slot
    names = [name for name in postgres.query(site.postgres, ask).split() if name != ours]
    if not names:
        return []
    return [
        f"replication slots will be gone: {', '.join(names)}. What reads them has to start anew"
    ]


def _missing(site: Site) -> list[str]:
    """What the databases need and this machine has not, as far as the last drill has seen."""
    seen = [each for each in drills.recorded(site.barman) if each.libraries or each.locales]
    if not seen:
        return []
    folder = f"/usr/lib/postgresql/{Cluster(site.outputs).version}/lib"
    missing = remote_python.call(
        site.postgres,
        "ops.onmachine.requirements",
        [folder, seen[-1].libraries, seen[-1].locales],
    )
    return [
        f"{site.outputs.postgres.name} has no {each}, which the database needs; what needs it will "
        "not work, and cannot be checked. Install it first"
        for each in missing
    ]


def _connections(site: Site, chosen: Plan) -> None:
    """The way from PostgreSQL's machine to what Barman has, with the user that the recovery
    uses."""
    outputs = site.outputs
    server, address = outputs.backup.server_name, outputs.barman.private_address
    fetch = copies.backup(outputs, chosen.barman_backup_id or chosen.backup_id)
    asked = {
        "the restore": fetch.command(CONTENTS),
        "the replay": ["barman-wal-restore", "--test", "--user", "barman", address, server, *"xx"],
    }
    for what, command in asked.items():
        done = site.postgres.run(command, user=postgres.USER, accept=None)
        if not done.ok:
            raise OperatorError(
                f"{outputs.postgres.name} cannot fetch from Barman, which {what} needs: "
                f"{done.said or 'refused'}",
                NOTHING_CHANGED,
                next_command="pulumi up",
            )
