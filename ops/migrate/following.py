"""Changes of the source followed: how far behind, and the steps of cutover and abort."""

from urllib.parse import quote, urlsplit

from ops.errors import OperatorError
from ops.migrate import copying, moves, returning, watching
from ops.migrate.model import Following, MoveStatus
from ops.migrate.move import Move
from ops.migrate.moves import DRAIN_S, READY_BYTES, STATUS
from ops.migrate.refusals import some
from ops.reach import longrun, remote_python
from ops.reach.outputs import StackOutputs
from ops.reach.ssh import Site
from ops.recover import rejoin
from ops.runbook import journal
from ops.runbook.journal import State
from ops.runbook.steps import Run, Step
from ops.screen import size

_TIMEOUT_S = 3600
_READ_ONLY = "The source was only asked; nothing was changed there or here."


def status(site: Site) -> MoveStatus:
    """The move under way. Raises OperatorError where there is none."""
    move = moves.under_way(site.postgres)
    current = journal.load(site.barman)
    run = current.describe() if current is not None and "move" in current.options else None
    found = look(site, move) if move.follow and not move.reverse and run is None else []
    return MoveStatus(
        source=f"{move.host}:{move.port}",
        user=move.user,
        follow=move.follow,
        run=run,
        databases=found,
        back=returning.look(site, move) if move.reverse and run is None else [],
    )


def look(site: Site, move: Move) -> list[Following]:
    """Every database, as both servers see it now."""
    found = remote_python.call(
        site.postgres, "ops.onmachine.migration.following", [copying.documents(site, move)]
    )
    return [Following.model_validate(each) for each in found]


def require_ready(site: Site, move: Move) -> list[Following]:
    """How far behind they are. Raises OperatorError where a cutover would not succeed."""
    found = look(site, move)
    for each in found:
        if why := unready(each):
            raise OperatorError(f"{each.database}: {why}.", _READ_ONLY, STATUS)
    return found


def unready(each: Following) -> str | None:
    """Why a database cannot be cut over now."""
    if each.error:
        return each.error
    if each.slot == "gone" or each.wal_status == "lost":
        return "its slot at the source is gone, and changes with it: abort, and begin anew"
    if not each.enabled or not each.running or not each.active:
        return "it is not followed at the moment"
    if each.changed:
        return f"definitions at the source have changed: {', '.join(each.changed[:5])}"
    if each.lag_bytes is None or each.lag_bytes > READY_BYTES:
        return f"it is {size(each.lag_bytes or 0)} behind"
    return None


def cutover_steps(move: Move) -> list[Step]:
    """From following to a server of one's own."""
    return [
        Step("switch", "Close the source, drain it, copy what cannot be followed", switch, reopen),
        Step("detach", "Leave the source: subscriptions, slots, publications", detach, final=True),
        *([returning.KEEP] if move.reverse else []),
        Step("refresh", "Refresh materialized views", refresh, final=True),
        Step("backup", "Take a full backup", rejoin.full_backup, final=True),
        Step("proof", "Prove that new WAL reaches Barman", rejoin.prove, final=True),
        *([] if move.reverse else [copying.FINISH]),
    ]


def switch(run: Run) -> str:
    """The moment itself, as one program on the machine: it needs nobody to go on."""
    machine, move = run.site.postgres, moves.under_way(run.site.postgres)
    found = remote_python.call_as_unit(
        machine,
        copying.UNIT,
        copying.RUN,
        "ops.onmachine.migration.cut_over",
        [copying.documents(run.site, move), DRAIN_S, _keeps_way_back(run)],
        lambda _: None,
        # Writes wait for whoever notices.
        longest_poll_s=longrun.FIRST_POLL_S,
    )
    if "failed" in found:
        raise OperatorError(found["failed"], "The source was opened again.", STATUS)
    if rest := found["not_compared"]:
        run.say(f"too large to be compared while writes have stopped: {some(rest)}")
    # From now on the run can only go forward, and clients may know. Nothing of this step is to be
    # repeated over what they write.
    run.journal.note("switch", State.DONE)
    run.journal.note("detach", State.STARTED)
    run.save()
    for each in connections(run.site.outputs, move):
        run.say(f"clients may connect: {each}")
    return (
        f"writes have stopped for {found['closed_s']} s; {found['tables']} tables copied, "
        f"{found['sequences']} sequences advanced, {found['compared']} changed tables are the same"
    )


def _keeps_way_back(run: Run) -> bool:
    """Whether this cutover does."""
    return Move.model_validate(run.journal.options["move"]).reverse


def connections(outputs: StackOutputs, move: Move) -> list[str]:
    """What takes the place of the source in the applications' configuration, without passwords."""
    known = next(iter(outputs.databases.values()))
    uri = urlsplit(known.uri.get_secret_value())
    where, owners = f"{uri.hostname}:{uri.port}", {each.name: each.owner for each in move.databases}
    return [
        f"postgresql://{quote(owner, safe='')}@{where}/{quote(name, safe='')}?{uri.query}"
        for name, owner in owners.items()
    ]


def reopen(run: Run) -> None:
    """The source as it was before."""
    longrun.stop(run.site.postgres, copying.UNIT)
    run.site.postgres.run(["rm", "-rf", copying.RUN])
    at_source(run, "reopen")


def at_source(run: Run, action: str) -> None:
    """Do it there: the action is one of ops/onmachine/migration/source.py. Raises OperatorError."""
    move = moves.under_way(run.site.postgres)
    found = remote_python.call(
        run.site.postgres,
        "ops.onmachine.migration.source",
        [action, copying.documents(run.site, move)],
        timeout_s=_TIMEOUT_S,
    )
    if "failed" in found:
        raise OperatorError(
            f"The source cannot be left: {found['failed']}.",
            "Slots of ours may still be there, and retain WAL there.",
            f"the same again; or, at the source: {leaving(move)}",
        )


def leaving(move: Move) -> str:
    """What an operator would type at the source, where the machine cannot."""
    return " ".join(f"SELECT pg_drop_replication_slot('{e.slot}');" for e in move.databases)


def detach(run: Run) -> str:
    """From here on this server is the one."""
    move = moves.under_way(run.site.postgres)
    watching.stop(run.site.postgres)
    at_source(run, "detach")
    for database in move.databases:
        run.say(f"{database.name} is here now, and closed at {move.host}")
    return "followed no more"


def refresh(run: Run) -> str:
    """Materialized views, whose rows a subscription does not bring."""
    machine, move = run.site.postgres, moves.under_way(run.site.postgres)
    found = remote_python.call_as_unit(
        machine,
        "migration-refresh",
        copying.RUN,
        "ops.onmachine.migration.views",
        [copying.documents(run.site, move)],
        lambda _: None,
    )
    if "failed" in found:
        raise OperatorError(
            f"Not every materialized view could be refreshed: {found['failed']}.",
            "Those before it were.",
        )
    return f"{found['views']} refreshed"


def abort_steps(move: Move) -> list[Step]:
    """Everything as it was before the move, there and here."""
    return [
        *copying.removals(move),
        Step("source", "Leave the source", leave, keeps=True),
        Step("roles", "Remove roles", remove_roles, keeps=True),
    ]


def leave(run: Run) -> str:
    watching.stop(run.site.postgres)
    if moves.under_way(run.site.postgres).follow:
        at_source(run, "leave")
    return "nothing of ours is there"


def remove_roles(run: Run) -> str:
    copying.drop_roles(run)
    return "as before"
