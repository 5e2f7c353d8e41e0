"""The backup brought back beside the old data, and how far WAL is to be replayed."""

from datetime import UTC, datetime

from host.domain.paths import CLONES
from host.domain.wal import not_after
from host.restored_copy.copy import Copy
from ops.archive import catalogue
from ops.archive.catalogue import Catalogue, Commit
from ops.archive.plan import Plan
from ops.archive.targets import Kind, Target
from ops.reach import postgres
from ops.reach.ssh import Machine
from ops.recover import copies, space
from ops.recover.cluster import cluster, discard, prove_stopped, require_kept
from ops.runbook.steps import Run
from ops.screen import size


def copy_of(run: Run) -> Copy:
    """What the run brings back, before it is put in place."""
    return Copy(
        folder=f"{CLONES}/{run.journal.id}",
        user=postgres.USER,
        version=cluster(run).version,
        unit=f"runbook-copy-{run.journal.id}",
        shared_buffers=run.journal.facts.get("shared_buffers", "128MB"),
    )


def serving(run: Run) -> bool:
    """Whether the old server goes on while the copy is brought back."""
    return bool(run.journal.options.get("while_serving"))


def reserve(run: Run) -> int:
    """Bytes of the disk that the copy leaves to a server that goes on."""
    return space.LEAST_BYTES if serving(run) else 0


def quarter_of_memory(machine: Machine) -> str:
    """For shared_buffers of a copy beside which no server runs: as much as the server itself has
    (settings/parameters.py)."""
    total = machine.run(["grep", "^MemTotal:", "/proc/meminfo"]).stdout.split()
    return f"{int(total[1]) // 4}kB"


def restore(run: Run) -> str:
    """Fetch the backup into a folder of the run's own."""
    plan, machine, copy = the_plan(run), run.site.postgres, copy_of(run)
    if not serving(run):
        prove_stopped(run)
    if not copies.restoring(machine, copy):
        discard(run)
        # What a run that was cut off has brought stays, as far as it is known to be on the disk.
        copies.make_folder(machine, copy.folder, copy.data, copy.tablespaces)
        if not serving(run):
            run.remember(shared_buffers=quarter_of_memory(machine))
    began = datetime.now(UTC)
    found = copies.restore(run.site, copy, plan, run.console, reserve=reserve(run))
    copies.prepare(machine, copy, {}, fresh=True)
    seconds = (datetime.now(UTC) - began).total_seconds()
    gigabytes = found["bytes"] / 1e9
    return f"{size(found['bytes'])} restored, {seconds / max(gigabytes, 1e-9):.1f} s/GB"


def undo_restore(run: Run) -> None:
    """Stop it and remove what was restored."""
    require_kept(run)
    copies.remove(run.site.postgres, copy_of(run))


def target_settings(
    target: Target, timeline: int, restore_point: str | None = None
) -> dict[str, str]:
    """What has PostgreSQL replay to `target` on `timeline`; one that is a name is the
    `restore_point` whose record begins at that LSN."""
    values = {"recovery_target_timeline": str(timeline)}
    if target.kind is Kind.NAME and restore_point is not None:
        values["recovery_target_lsn"] = restore_point
        values["recovery_target_inclusive"] = "on"
    elif target.kind is not Kind.LATEST:
        immediate = target.kind is Kind.IMMEDIATE
        values["recovery_target" if immediate else f"recovery_target_{target.kind}"] = target.value
        values["recovery_target_inclusive"] = "off" if target.exclusive else "on"
    return values


def effective(plan: Plan, last_commit: datetime | None) -> Target:
    """The target for PostgreSQL, which refuses a time after the last commit: that is LATEST."""
    target = plan.target
    if target.kind is Kind.TIME and last_commit is not None and target.time > last_commit:
        return Target()
    return target


def last_commit(run: Run) -> Commit | None:
    """The last commit that replay can reach, now that nothing more can arrive."""
    plan, outputs = the_plan(run), run.site.outputs
    if plan.target.kind not in (Kind.TIME, Kind.LATEST):
        return None
    found = catalogue.read(
        run.site.barman,
        outputs.barman.data_directory,
        outputs.backup.server_name,
        not_after(plan.timeline, plan.replay_from),
    )
    return last_reachable(found, plan.timeline, plan.replay_from)


def last_reachable(held: Catalogue, timeline: int, begin: int) -> Commit | None:
    """The last commit of `timeline` before a gap in its WAL, coming from position `begin`, which
    may be on an ancestor. WAL from before an earlier gap does not count."""
    runs = [
        run
        for run in held.runs
        if run.timeline == timeline and held.position(run.last) >= begin // held.segment_size
    ]
    return min(runs, key=lambda run: run.first).last_commit if runs else None


def the_plan(run: Run) -> Plan:
    if run.journal.plan is None:
        raise ValueError(f"{run.journal.kind} has no plan")
    return run.journal.plan
