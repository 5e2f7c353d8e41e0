"""Back to the data directory from before the last recovery, on a timeline of its own."""

from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach.ssh import Site
from ops.recover import access, cluster, passwords, receiver, rejoin, replay, restore
from ops.runbook import journal
from ops.runbook.journal import Journal
from ops.runbook.steps import Run, Step


def find(site: Site) -> Journal:
    """The last recovery that kept its old data directory. Raises OperatorError."""
    for past in journal.past(site.barman):
        aside = past.facts.get("aside")
        promoted = past.facts.get("timeline") is not None
        if (
            past.kind in ("recover", "undo")
            and promoted
            and aside
            and site.postgres.run(["test", "-e", f"{aside}/PG_VERSION"], accept=(0, 1)).ok
        ):
            return past
    raise OperatorError(
        "There is no old data directory to go back to.",
        NOTHING_CHANGED,
        next_command="python -m ops recover --target-time … --timeline …",
    )


def begin(last: Journal) -> Journal:
    """The journal of undoing `last`."""
    return Journal.begin("undo", last.plan, undoes=last.id, old_data=last.facts["aside"])


def steps() -> list[Step]:
    """As a recovery, with a directory moved where a recovery restores one."""
    return [
        Step("pause", "Pause Barman's cron", receiver.pause_cron, receiver.undo_pause),
        Step(
            "stop", "Stop PostgreSQL and verify that it is stopped", cluster.stop, cluster.undo_stop
        ),
        Step(
            "save",
            "Stop the receiver, save the last WAL it received",
            receiver.save_received,
            receiver.undo_save,
        ),
        Step("aside", "Set the data aside", cluster.set_aside, cluster.undo_set_aside),
        Step("return", "Put the old data directory back", put_back, undo_put_back),
        Step("target", "Configure a new timeline", configure, restore.undo_configure),
        Step("replay", "Start it", replay.replay, replay.undo_replay),
        Step("promote", "Promote", replay.promote),
        Step("passwords", "Set the stack's passwords", passwords.restore),
        replay.OPEN,
        *rejoin.steps(),
    ]


def put_back(run: Run) -> str:
    """Move the old data directory to its place."""
    cluster.prove_stopped(run)
    data, old = cluster.cluster(run).data, run.journal.options["old_data"]
    machine = run.site.postgres
    if machine.run(["test", "-e", old], accept=(0, 1)).ok:
        machine.run(["rmdir", data])
        machine.run(["mv", old, data])
    return f"{old} is the data directory again"


def undo_put_back(run: Run) -> None:
    """Move it away again."""
    cluster.prove_stopped(run)
    data, old = cluster.cluster(run).data, run.journal.options["old_data"]
    machine = run.site.postgres
    if not machine.run(["test", "-e", old], accept=(0, 1)).ok:
        machine.run(["mv", data, old])
        machine.run(["install", "-d", "-o", "postgres", "-g", "postgres", "-m", "0700", data])


def configure(run: Run) -> str:
    """Start it as an archive recovery with nothing to replay but its own WAL.

    So it leaves its timeline: Barman has closed that one, and going on with it would make two
    different segments of one name. Only timeline histories are asked of Barman, so that the new
    timeline's number is free.
    """
    outputs, machine = run.site.outputs, run.site.postgres
    names = cluster.cluster(run)
    timeline = next(
        line.split(":")[1].strip()
        for line in access.control(machine, names).splitlines()
        if line.startswith("Latest checkpoint's TimeLineID")
    )
    fetch = restore.fetch_wal(outputs.barman.private_address, outputs.backup.server_name)
    restore.write_override(
        run,
        names,
        restore.render(
            {
                "restore_command": f"case %f in *.history) ;; *) exit 1;; esac; {fetch}",
                "recovery_target_timeline": timeline,
                **restore.WITHOUT_BARMAN,
            }
        ),
    )
    restore.clean_auto_conf(run.site, names.data)
    restore.signal(run.site, names.data)
    access.restrict(run)
    run.remember(target=None, promised=None)
    return f"it leaves timeline {timeline}"
