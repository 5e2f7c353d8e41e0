"""Is it up, is it protected, how far back can one go, what would be lost right now."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime

from host.domain.paths import CONVERGED_PROGRAMS, CURRENT_RUNBOOK, DRILL_HISTORY
from ops.archive import backup as backups_
from ops.archive import verification
from ops.errors import OperatorError
from ops.model import BackupStatus, Check, MachineStatus, Reason, Status, Verdict
from ops.reach import barman, glance, pooler, postgres, remote_python
from ops.reach.glance import Glance
from ops.reach.outputs import MachineOutputs
from ops.reach.ssh import CommandFailed, ConnectionLost, Site
from ops.runbook import journal
from ops.watch import alerts, certificates, drills, guard, hazards, in_force
from ops.watch.verdict import judge

CHECK_TIMEOUT_S = 60
# None waits for another one; sshd lets ten into one connection at a time.
QUESTIONS = 10


def collect(site: Site) -> Status:
    """Ask both machines at once and judge. Never raises for a machine that is down."""
    outputs = site.outputs
    server = outputs.backup.server_name
    status = Status(
        verdict=Verdict.UNPROTECTED,
        reasons=[],
        at=datetime.now(UTC),
        server=server,
        durability=outputs.backup.durability,
        fallback_after_s=outputs.backup.fallback_after_seconds,
        postgres_machine=_unreachable(site, outputs.postgres),
        barman_machine=_unreachable(site, outputs.barman),
    )
    questions = (
        # The way to the other machine: it is asked while that is being connected to. What takes
        # longest comes first.
        (outputs.barman, (_checks, _backups, _barman_machine, _wal, _alerts)),
        (outputs.postgres, (_postgres, _postgres_machine, _certificate, _hazards)),
    )
    with ThreadPoolExecutor(QUESTIONS) as pool:
        running = [
            (target, pool.submit(ask, site, status))
            for target, asked in questions
            if site.reaches(target)
            for ask in asked
        ]
        for target, future in running:
            try:
                future.result()
            except ConnectionLost as error:
                site.unreachable[target.name] = str(error)
    status.postgres_machine = _settled(site, outputs.postgres, status.postgres_machine)
    status.barman_machine = _settled(site, outputs.barman, status.barman_machine)
    status.reasons = judge(status)
    status.verdict = worst(status.reasons)
    return status


def worst(reasons: list[Reason]) -> Verdict:
    """The verdict these reasons add up to."""
    return max(
        (reason.verdict for reason in reasons), key=list(Verdict).index, default=Verdict.PROTECTED
    )


def _unreachable(site: Site, target: MachineOutputs) -> MachineStatus:
    return MachineStatus(name=target.name, reachable=False, error=site.unreachable.get(target.name))


def _settled(site: Site, target: MachineOutputs, seen: MachineStatus) -> MachineStatus:
    if target.name in site.unreachable:
        return _unreachable(site, target)
    return seen


def _postgres_machine(site: Site, into: Status) -> None:
    seen = glance.take(site.postgres, CONVERGED_PROGRAMS, guard.STATUS)
    _machine(seen, into.postgres_machine)
    _in_force(site, seen, site.outputs.postgres, "postgres", into)
    into.guard_level, into.guard_fallback_after_s, into.guard_blind = guard.seen_in(seen)


def _barman_machine(site: Site, into: Status) -> None:
    seen = glance.take(site.barman, CONVERGED_PROGRAMS, DRILL_HISTORY, CURRENT_RUNBOOK)
    _machine(seen, into.barman_machine)
    _in_force(site, seen, site.outputs.barman, "barman", into)
    into.barman_version = seen.barman_version
    into.failed_drill = drills.failure(drills.parse(seen.files[DRILL_HISTORY]))
    if current := journal.parse(seen.files[CURRENT_RUNBOOK]):
        into.run_under_way = Reason(
            verdict=Verdict.DEGRADED,
            text=f"a run is under way: {current.describe()}",
            next_command=f"wait for it; if it was interrupted: {current.finish_command}",
        )


def _machine(seen: Glance, into: MachineStatus) -> None:
    into.reachable = True
    into.uptime_s, into.os, into.disk = seen.uptime_s, seen.os, seen.disk


def _in_force(site: Site, seen: Glance, machine: MachineOutputs, role: str, into: Status) -> None:
    there = in_force.parse(seen.files[CONVERGED_PROGRAMS])
    into.behind += in_force.judge(machine.name, site.outputs.in_force.get(role, {}), there)


def _postgres(site: Site, into: Status) -> None:
    machine, outputs = site.postgres, site.outputs
    into.postgres, into.receiver, into.slot = postgres.state(machine, outputs.backup.slot)
    if not into.postgres.accepting:
        there = ["test", "-e", f"{outputs.postgres.data_directory}/PG_VERSION"]
        into.postgres.has_data = machine.run(there, accept=(0, 1)).ok
    if into.receiver is not None:
        into.possible_loss_bytes = into.receiver.write_lag_bytes
    if outputs.pooler is not None:
        into.pooler = pooler.read(site, log_in=into.postgres.accepting)


def _certificate(site: Site, into: Status) -> None:
    # A server that is down is reported elsewhere.
    with suppress(OperatorError, CommandFailed):
        into.certificate_ends = certificates.read(site).ends


def _hazards(site: Site, into: Status) -> None:
    try:
        into.hazards = hazards.read(site)
    except CommandFailed as error:
        into.hazards_unknown = error.result.said


def _checks(site: Site, into: Status) -> None:
    try:
        answer = barman.ask(site.barman, "check", into.server, timeout_s=CHECK_TIMEOUT_S)
        into.checks = barman.checks(answer, into.server)
    except (OperatorError, CommandFailed) as error:
        into.checks = [Check(name="barman_check", ok=False, hint=str(error).splitlines()[0])]


def _backups(site: Site, into: Status) -> None:
    machine = site.barman
    # Before and after: one that begins or ends in between was not cut off.
    into.backup_running = backups_.running(machine)
    try:
        answer = barman.ask(machine, "list-backups", into.server)
    except OperatorError as error:
        into.checks = [Check(name="list_backups", ok=False, hint=error.happened)]
        return
    into.backup_running = into.backup_running or backups_.running(machine)
    verified = verification.read(machine)
    found = [
        backup.model_copy(
            update={
                "verified": seen.ok,
                "verified_at": seen.at,
                "verification_error": seen.error,
            }
        )
        if (seen := verified.get(backup.id))
        else backup
        for backup in barman.backups(answer, into.server)
    ]
    done: list[BackupStatus] = [backup for backup in found if backup.status == "DONE"]
    into.unsound_backups = verification.unsound(found)
    into.backups = len(done)
    into.last_backup = found[0] if found else None
    into.last_done_backup = done[0] if done else None
    into.restorable_from = done[-1].ended_at if done else None


def _wal(site: Site, into: Status) -> None:
    home = site.outputs.barman.data_directory
    found = remote_python.call(
        site.barman, "ops.onmachine.wal_of_backups", [home, into.server], user=barman.USER
    )
    into.torn_backups, into.missing_wal = found["torn"], found["missing"]


def _alerts(site: Site, into: Status) -> None:
    try:
        found = alerts.read(site)
    except OperatorError as error:
        into.undeliverable = error.happened
        return
    into.alerts = [alert.name for alert in found.alerts if not alert.silenced]
    into.undeliverable = found.undeliverable
