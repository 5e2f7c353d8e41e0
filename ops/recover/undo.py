"""Back to the data directory from before the last recovery, on a timeline of its own."""

from datetime import datetime

from host.domain import control_data
from host.domain.wal import DEFAULT_SEGMENT_SIZE
from host.restored_copy.files import AUTO_CONF
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import postgres, shell
from ops.reach.ssh import Site
from ops.recover import copies, passwords, receiver, rejoin, replay, restore, swap
from ops.recover.cluster import Cluster
from ops.runbook import journal
from ops.runbook.journal import Journal
from ops.runbook.steps import Run, Step
from ops.screen import moment


def find(site: Site) -> Journal:
    """The last recovery that kept its old data directory. Raises OperatorError."""
    for past in journal.past(site.barman):
        aside = past.facts.get("aside")
        promoted = past.facts.get("timeline") is not None
        if past.kind not in ("recover", "undo"):
            continue
        if (
            promoted
            and aside
            and site.postgres.run(["test", "-e", f"{aside}/PG_VERSION"], accept=(0, 1)).ok
        ):
            return past
        if past.facts.get("in_place"):
            raise OperatorError(
                f"The last recovery, {past.kind} {past.id}, has no old data directory to go back "
                "to. What an earlier one has kept is older than what that one brought back.",
                NOTHING_CHANGED,
                next_command="python -m ops recover --target-time … --timeline …",
            )
    raise OperatorError(
        "There is no old data directory to go back to.",
        NOTHING_CHANGED,
        next_command="python -m ops recover --target-time … --timeline …",
    )


def saved_at(site: Site, last: Journal) -> str:
    """When the server whose data directory `last` has kept wrote its last checkpoint."""
    written = _control(site, last.facts["aside"])["Time of latest checkpoint"]
    return moment(datetime.strptime(f"{written} +0000", "%a %b %d %H:%M:%S %Y %z"))


def begin(last: Journal) -> Journal:
    """The journal of undoing `last`."""
    return Journal.begin("undo", last.plan, undoes=last.id, old_data=last.facts["aside"])


def steps() -> list[Step]:
    """As a recovery, with a directory moved where a recovery restores one."""
    return [
        *receiver.HOLD_STILL,
        Step("return", "Take the old data directory", take_old, undo_take_old),
        Step("replay", "Put it on a new timeline", leave_timeline, replay.undo_replay),
        Step("passwords", "Set the stack's passwords", passwords.restore),
        swap.REHEARSAL,
        *swap.STEPS,
        *rejoin.steps(),
    ]


def take_old(run: Run) -> str:
    """Move it, with its tablespaces, to where a copy is brought back."""
    machine, copy, old = run.site.postgres, restore.copy_of(run), run.journal.options["old_data"]
    copies.make_folder(machine, copy.folder)
    away = swap.tablespaces_of(old)
    shell.run(machine, "move-cluster", old, away, copy.data, copy.tablespaces)
    copies.make_folder(machine, copy.tablespaces)
    run.remember(shared_buffers=restore.quarter_of_memory(machine))
    copies.prepare(machine, copy, {}, fresh=True)
    return f"{old} is brought back"


def undo_take_old(run: Run) -> None:
    """Move it away again."""
    machine, copy, old = run.site.postgres, restore.copy_of(run), run.journal.options["old_data"]
    copies.stop(machine, copy)
    if machine.run(["test", "-e", copy.data], accept=(0, 1)).ok:
        kept = ["cp", copy.kept_auto_conf, f"{copy.data}/{AUTO_CONF}"]
        machine.run(kept, user=postgres.USER, accept=None)
        away = swap.tablespaces_of(old)
        shell.run(machine, "move-cluster", copy.data, copy.tablespaces, old, away)
    copies.remove(machine, copy)


def leave_timeline(run: Run) -> str:
    """Have it replay nothing but its own WAL, as an archive recovery.

    So it leaves its timeline: Barman has closed that one, and going on with it would make two
    different segments of one name. Only timeline histories are asked of Barman, so that the new
    timeline's number is free.
    """
    outputs, machine, copy = run.site.outputs, run.site.postgres, restore.copy_of(run)
    timeline = _control(run.site, copy.data)["Latest checkpoint's TimeLineID"]
    copies.prepare(machine, copy, {"recovery_target_timeline": timeline}, fresh=False)
    size = run.journal.plan.segment_size if run.journal.plan else DEFAULT_SEGMENT_SIZE
    wal = copies.store(outputs, size, histories_only=True)
    found = copies.replay(machine, copy, wal, run.console, between=(0, 0))
    return replay.arrived(run, found)


def _control(site: Site, data: str) -> dict[str, str]:
    """What pg_controldata says of a data directory, with times in UTC."""
    program = f"{Cluster(site.outputs).binaries}/pg_controldata"
    asked = ["env", "TZ=UTC", "LC_ALL=C", program, "-D", data]
    return control_data.fields(site.postgres.run(asked).stdout)
