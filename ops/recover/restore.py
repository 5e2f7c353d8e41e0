"""The backup copied back by Barman, and the settings under which PostgreSQL replays WAL."""

from datetime import UTC, datetime

from host.domain.quoting import conf_value
from host.domain.wal import not_after
from host.domain.wal_store import restore_command
from ops.archive import catalogue
from ops.archive.catalogue import Catalogue, Commit
from ops.archive.plan import Plan
from ops.archive.targets import Kind, Target
from ops.reach import barman, longrun, shell
from ops.reach.ssh import Site
from ops.recover import access, space
from ops.recover.cluster import Cluster, boot, cluster, prove_stopped
from ops.runbook.progress import watched
from ops.runbook.steps import Run
from ops.screen import size

UNIT = "runbook-restore"
# Barman's receiver is away during a recovery: a commit that waits for it would wait for ever.
WITHOUT_BARMAN = {"synchronous_standby_names": ""}


def restore(run: Run) -> str:
    """Let Barman copy the backup into the empty data directory."""
    plan, outputs = the_plan(run), run.site.outputs
    prove_stopped(run)
    log = f"{barman.HOME}/{UNIT}-{run.journal.id}.log"
    adopt = _under_way(run, log)
    if not adopt:
        longrun.stop(run.site.barman, UNIT)
        empty(run)
        run.remember(restoring=boot(run))
    began = datetime.now(UTC)
    data, machine = outputs.postgres.data_directory, run.site.postgres
    with watched(run.console, plan.backup_size, lambda: space.used_bytes(machine, data)) as tick:
        longrun.run(
            run.site.barman,
            UNIT,
            barman_recover(
                outputs.backup.server_name,
                plan.backup_id,
                data,
                outputs.postgres.private_address,
            ),
            log,
            user=barman.USER,
            adopt=adopt,
            tick=tick,
        )
    seconds = (datetime.now(UTC) - began).total_seconds()
    gigabytes = plan.backup_size / 1e9
    return f"{size(plan.backup_size)} restored, {seconds / max(gigabytes, 1e-9):.1f} s/GB"


def _under_way(run: Run, log: str) -> bool:
    """Whether copying that was begun before an interruption still goes on, or has ended well on a
    machine that was not restarted since: what it wrote may not have been on disk yet."""
    if run.journal.facts.get("restoring") != boot(run):
        return False
    return longrun.state_of(run.site.barman, UNIT, log) in ("active", "activating", "0")


def barman_recover(server: str, backup_id: str, data: str, address: str) -> list[str]:
    """Barman's recover. WAL is not copied: PostgreSQL fetches it while replaying, the segment
    that was still being received included."""
    return [
        *("barman", "recover", "--get-wal"),
        *("--remote-ssh-command", f"ssh -q postgres@{address}"),
        *(server, backup_id, data),
    ]


def undo_restore(run: Run) -> None:
    """Stop copying and empty the directory that was restored into."""
    longrun.stop(run.site.barman, UNIT)
    prove_stopped(run)
    empty(run)


def empty(run: Run) -> None:
    """Remove what is in the data directory. The old one was set aside before."""
    run.site.postgres.run(["find", cluster(run).data, "-mindepth", "1", "-delete"], timeout_s=3600)


def configure(run: Run) -> str:
    """Write the recovery's own configuration file and the signal that starts replay."""
    plan, outputs = the_plan(run), run.site.outputs
    names = cluster(run)
    last = _last_commit(run)
    target = effective(plan, last.time if last else None)
    promised = last.model_dump(mode="json") if last and target.kind is Kind.LATEST else None
    run.remember(target=target.model_dump(mode="json"), promised=promised)
    address, server = outputs.barman.private_address, outputs.backup.server_name
    values = replay_values(target, plan.timeline, address, server)
    write_override(run, names, render(values))
    clean_auto_conf(run.site, names.data)
    signal(run.site, names.data)
    access.restrict(run)
    return f"replay to {target.describe()} on timeline {plan.timeline}"


def write_override(run: Run, names: Cluster, text: str) -> None:
    """Put the recovery's configuration file in place."""
    shell.write_file(run.site.postgres, names.override, text, mode="0644")


def clean_auto_conf(site: Site, data: str) -> None:
    """Remove recovery settings, such as Barman's own, from the file that wins over all others."""
    site.postgres.run(
        [
            *("sed", "-i", "-E", r"/^[[:space:]]*(restore_command|recovery_|primary_)/d"),
            f"{data}/postgresql.auto.conf",
        ]
    )


def signal(site: Site, data: str) -> None:
    """Tell PostgreSQL to start as an archive recovery."""
    site.postgres.run(["touch", f"{data}/recovery.signal"], user="postgres")
    site.postgres.run(["rm", "-f", f"{data}/standby.signal"], user="postgres")


def undo_configure(run: Run) -> None:
    access.lift(run)
    run.site.postgres.run(["rm", "-f", cluster(run).override])


def fetch_wal(address: str, server: str, *flags: str) -> str:
    """PostgreSQL's restore_command: one file from Barman at `address`.

    barman-wal-restore ends as the gate on Barman's machine does (files/barman-get-wal), or with 2
    for a broken connection.
    """
    words = " ".join(["barman-wal-restore", *flags, "--user", "barman", address, server])
    return restore_command(f"{words} %f %p")


def replay_values(target: Target, timeline: int, address: str, server: str) -> dict[str, str]:
    """The settings for replaying to `target` and, if it is not the end, waiting there. `address`
    is Barman's."""
    values = {
        "restore_command": fetch_wal(address, server, "--partial"),
        "recovery_target_timeline": str(timeline),
        **WITHOUT_BARMAN,
    }
    if target.kind is not Kind.LATEST:
        immediate = target.kind is Kind.IMMEDIATE
        values["recovery_target" if immediate else f"recovery_target_{target.kind}"] = target.value
        values["recovery_target_inclusive"] = "off" if target.exclusive else "on"
        values["recovery_target_action"] = "pause"
    return values


def render(values: dict[str, str]) -> str:
    """A configuration file with these settings."""
    lines = [f"{name} = {conf_value(value)}" for name, value in values.items()]
    return "\n".join(["# Written by a recovery runbook, which removes it at its end.", *lines, ""])


def effective(plan: Plan, last_commit: datetime | None) -> Target:
    """The target for PostgreSQL, which refuses a time after the last commit: that is LATEST."""
    target = plan.target
    if target.kind is Kind.TIME and last_commit is not None and target.time > last_commit:
        return Target()
    return target


def _last_commit(run: Run) -> Commit | None:
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
