"""The steps of a copy. Everything is done on the PostgreSQL machine, from the move kept there."""

from dataclasses import replace
from functools import partial

from host.domain.quoting import conninfo_value, identifier, sql_literal
from ops.errors import OperatorError
from ops.migrate import compare, complaints, credentials, moves, show_comparison, watching
from ops.migrate.move import Database, Move
from ops.onmachine.migration.job import Job
from ops.onmachine.migration.sessions import EMPTY, FOLDER, NAME, PSQL
from ops.reach import longrun, postgres, remote_python
from ops.reach.ssh import CommandFailed, Machine, Site
from ops.recover import rejoin
from ops.recover.cluster import Cluster
from ops.runbook.progress import watched
from ops.runbook.steps import Run, Step

UNIT = "migration-copy"
# Of what Barman's slot may retain: the rest is for what applications write meanwhile.
_WAL_SHARE = 0.5
_UNLIMITED_WAL_BYTES = 8 << 30
RUN = "/run/migration"


def steps(move: Move) -> list[Step]:
    """Those of a copy."""
    whole = [COMPARE, *_PROTECTED, FINISH]
    return [
        Step("roles", "Create roles", create_roles, drop_roles),
        *(
            Step(f"copy-{number}", f"Copy {each.name}", partial(copy, database=each), keeps=True)
            for number, each in enumerate(move.databases, 1)
        ),
        Step("settle", "Give databases and roles their grants and settings", settle, keeps=True),
        *([WATCH, *_PROTECTED] if move.follow else whole),
    ]


_PROTECTED = (
    Step("backup", "Take a full backup", rejoin.full_backup, keeps=True),
    Step("proof", "Prove that new WAL reaches Barman", rejoin.prove, keeps=True),
)


def removals(move: Move) -> list[Step]:
    """Those that take each database of a copy away."""
    return [
        Step(f"remove-{number}", f"Remove {each.name}", partial(remove, database=each), keeps=True)
        for number, each in enumerate(move.databases, 1)
    ]


def create_roles(run: Run) -> str:
    """Those that are not here, and for a while those that restored objects name."""
    machine, move = run.site.postgres, moves.under_way(run.site.postgres)
    made = {**move.create_roles, **{name: _placeholder(name) for name in move.placeholders}}
    there = _roles(machine)
    sql = [statement for name, statement in made.items() if name not in there]
    sql += [*move.grants, *move.role_settings]
    postgres.query(machine, "\n".join(["BEGIN;", *sql, "COMMIT;"]))
    return f"{len(move.create_roles)} roles, without passwords"


def _placeholder(name: str) -> str:
    return f"CREATE ROLE {identifier(name)} NOLOGIN;"


def _roles(machine: Machine) -> set[str]:
    return set(postgres.query(machine, "SELECT rolname FROM pg_roles").splitlines())


def drop_roles(run: Run) -> None:
    """Remove what create_roles has made, and the password and the move with it."""
    machine = run.site.postgres
    move = moves.load(machine)
    if move is not None:
        made = _roles(machine) & {*move.create_roles, *move.placeholders}
        for name in sorted(made):
            postgres.query(machine, f"DROP ROLE {identifier(name)}")
    credentials.remove(machine)


def copy(run: Run, database: Database) -> str:
    """Copy one database, as a unit that outlives this program."""
    machine, move = run.site.postgres, moves.under_way(run.site.postgres)
    job = job_of(run.site, move, database)
    if database.replace and not run.journal.facts.get(f"kept {database.name}"):
        _keep(machine, database)
        run.remember(**{f"kept {database.name}": True})

    def done() -> int | None:
        said = machine.run(["cat", f"{job.folder}/progress.json"], accept=(0, 1)).stdout
        return moves.done_bytes(said, database.size_bytes)

    with watched(run.console, database.size_bytes, done) as tick:
        found = remote_python.call_as_unit(
            machine,
            UNIT,
            RUN,
            "ops.onmachine.migration.copy_database",
            [job.document()],
            tick,
        )
    if "failed" in found:
        raise failed(found["failed"], move, database, machine)
    return f"{found['tables']} tables"


def failed(said: str, move: Move, database: Database, machine: Machine) -> OperatorError:
    """What a program of a move `said` when it ended, with what it means where that is known."""
    state = f"What is copied of {database.name} stays; the source was only read."
    return complaints.ended(said, move.address, database.name, machine.name, state)


def job_of(site: Site, move: Move, database: Database) -> Job:
    """What the program on the machine is told of one database of a move."""
    return jobs(site, move.model_copy(update={"databases": [database]}))[0]


def jobs(site: Site, move: Move) -> list[Job]:
    """The same of all of them."""
    machine = site.postgres
    limit = postgres.query(
        machine,
        "SELECT CASE setting WHEN '-1' THEN -1 ELSE pg_size_bytes(setting || unit) END "
        "FROM pg_settings WHERE name = 'max_slot_wal_keep_size'",
    )
    allowed = int(limit) if int(limit) >= 0 else _UNLIMITED_WAL_BYTES
    processors = int(machine.run(["nproc"]).stdout)
    wal_bytes = int(allowed * _WAL_SHARE)
    return [_job(site, move, each, processors, wal_bytes) for each in move.databases]


def _job(site: Site, move: Move, database: Database, processors: int, wal_bytes: int) -> Job:
    return Job(
        database=database.name,
        source=move.conninfo(database.name),
        entrance=move.conninfo(move.database),
        version=move.version,
        create=database.create,
        schemas=tuple(database.schemas),
        extensions=tuple(database.extensions),
        jobs=max(2, processors),
        binaries=Cluster(site.outputs).binaries,
        backup_slot=site.outputs.backup.slot,
        wal_bytes=wal_bytes,
        replace=database.replace,
        slot=database.slot,
        publish=tuple(database.publish),
        later=tuple(database.later),
    )


def documents(site: Site, move: Move) -> list[dict[str, object]]:
    """The same, ready to be sent."""
    return [job.document() for job in jobs(site, move)]


def _kept(database: Database) -> str:
    return f"{FOLDER}/before-{database.name.encode().hex()[:200]}"


def _keep(machine: Machine, database: Database) -> None:
    """What the empty database here is like, for the day when the move is taken back."""
    machine.run(
        [
            *("pg_dump", "--create", "--schema-only", f"--file={_kept(database)}"),
            f"--dbname=dbname={conninfo_value(database.name)}",
        ],
        user=postgres.USER,
    )


def remove(run: Run, database: Database) -> str:
    """Remove a database that a copy has begun; one that was there, empty, comes back."""
    machine = run.site.postgres
    longrun.stop(machine, UNIT)
    machine.run(["rm", "-rf", RUN])
    if postgres.query(machine, _there(database)) == "t" and _ours(machine, database):
        remote_python.call(machine, "ops.onmachine.migration.subscription", [database.name])
        postgres.query(machine, f"DROP DATABASE {identifier(database.name)} WITH (FORCE)")
    if _is_kept(machine, database) and postgres.query(machine, _there(database)) != "t":
        machine.run([*PSQL, "-d", "postgres", "-f", _kept(database)], user=postgres.USER)
    return "as before"


def _there(database: Database) -> str:
    name = sql_literal(database.name)
    return f"SELECT count(*) > 0 FROM pg_database WHERE datname = {name}"  # noqa: S608 - quoted


def _ours(machine: Machine, database: Database) -> bool:
    """Whether the copy's own marks are in it; or nothing at all, as in the moment before them."""
    marked = f"SELECT to_regnamespace('{NAME}') IS NOT NULL"
    if postgres.query(machine, marked, database=database.name) == "t":
        return True
    begun = not database.replace or _is_kept(machine, database)
    return begun and postgres.query(machine, EMPTY, database=database.name) == "t"


def _is_kept(machine: Machine, database: Database) -> bool:
    return machine.run(["test", "-s", _kept(database)], accept=(0, 1)).ok


def settle(run: Run) -> str:
    """What could have disturbed the copy, had it been there before; and nothing of the service."""
    machine, move = run.site.postgres, moves.under_way(run.site.postgres)
    there = _roles(machine)
    left = [identifier(name) for name in move.placeholders if name in there]
    for database in move.databases:
        if left:
            listed = ", ".join(left)
            owned = f"REASSIGN OWNED BY {listed} TO {postgres.USER}; DROP OWNED BY {listed}"
            postgres.query(machine, owned, database=database.name)
        postgres.query(machine, "\n".join(database.properties), database="postgres")
    for name in left:
        postgres.query(machine, f"DROP ROLE {name}")
    return "as at the source"


def compare_all(run: Run) -> str:
    """Everything on both sides. What an application has written after the copy is copied again
    when the run is resumed. Raises OperatorError where something differs."""
    machine, move = run.site.postgres, moves.under_way(run.site.postgres)
    if differing := run.journal.facts.get("differing"):
        _catch_up(run, move, differing)
    what = compare.What(tuple(each.name for each in move.databases), run=run.journal.id)
    secret = credentials.get(machine)
    found = compare.make(run.site, move.address, secret, what, run.console)
    differing = {
        each.name: [table.name for table in each.row_differences] for each in found.databases
    }
    run.remember(differing=differing)
    if not found.identical:
        show_comparison.show(found, run.console)
        raise OperatorError(
            "The source and this server are not the same.",
            "Nothing of what is copied was removed.",
            "stop the applications at the source",
        )
    tables, rows = (
        sum(getattr(each, name) for each in found.databases) for name in ("tables", "rows")
    )
    return f"identical: {tables} tables, {rows} rows"


COMPARE = Step("compare", "Compare with the source", compare_all, keeps=True)


def watch(run: Run) -> str:
    """From now on the source retains WAL for the move: Prometheus is told how much."""
    move = moves.under_way(run.site.postgres)
    watching.start(run.site.postgres, jobs(run.site, move))
    return "alerts say when it is not followed, or retains too much"


WATCH = Step("watch", "Watch the source", watch, keeps=True)


def _catch_up(run: Run, move: Move, differing: dict[str, list[str]]) -> None:
    again = [
        replace(job, later=differing.get(job.database, [])).document()
        for job in jobs(run.site, move)
    ]
    machine = run.site.postgres
    module = "ops.onmachine.migration.catch_up"
    found = remote_python.call_as_unit(machine, UNIT, RUN, module, [again], lambda _: None)
    if "failed" in found:
        raise failed(found["failed"], move, move.databases[0], machine)
    run.say(f"{found['tables']} tables copied again")


def finish(run: Run) -> str:
    """The marks of a copy that is over, the password and the move go: nothing can take it back any
    more."""
    machine, move = run.site.postgres, moves.load(run.site.postgres)
    for database in move.databases if move else []:
        try:
            postgres.query(machine, f"DROP SCHEMA IF EXISTS {NAME} CASCADE", database=database.name)
        except CommandFailed:
            # Somebody has removed the database meanwhile: its marks went with it.
            continue
    watching.stop(machine)
    machine.run(["rm", "-rf", RUN])
    credentials.remove(machine)
    return "the move is over"


FINISH = Step("finish", "End the move", finish, final=True)
