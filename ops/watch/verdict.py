"""Protected, degraded or unprotected: the judgement on what `status` saw. Pure."""

from datetime import timedelta

from host.durability_guard.decision import Level
from ops.model import MachineStatus, PostgresStatus, Reason, Status, Verdict
from ops.reach.barman import FAILED_BACKUPS
from ops.watch import hazards, in_force
from ops.watch.certificates import SOON_DAYS
from ops.watch.reasons import degraded, unprotected

DISK_FULL_PERCENT = 90
# Not room for one more WAL segment: PostgreSQL cannot start, let alone commit.
DISK_FULL_BYTES = 32 * 2**20
# PostgreSQL's refusals (postmaster.c, proc.c) by a server that is whole.
ALL_TAKEN = ("too many clients", "remaining connection slots", "too many connections")
ON_ITS_WAY = ("is starting up", "is shutting down", "in recovery mode", "not yet accepting")
# More than this and the receiver is falling behind, not just between two messages.
LAG_BYTES = 256 * 2**20
# What the alert PoolerClientsWait goes by, too.
POOLER_WAIT_S = 5
# What Barman leaves when a backup is killed, or its machine.
CUT_OFF = ("EMPTY", "STARTED")
# A new backup is read again within an hour of its end; a large one takes some more.
UNVERIFIED_AFTER = timedelta(hours=24)
# Barman's checks that say in other words what is judged here: a failed backup until there is a good
# one after it, a damaged one until it is gone; and the slot, which Barman finds missing, too, when
# its own login is refused.
JUDGED_ELSEWHERE = frozenset({"backup_minimum_size", "replication_slot", FAILED_BACKUPS})
# How many of a list are named on the screen.
SHOWN = 3
OTHER_CLUSTER = "systemid_coherence"


def judge(status: Status) -> list[Reason]:
    """Everything that is wrong, worst first; empty means protected."""
    reasons = [
        *([status.run_under_way] if status.run_under_way else []),
        *_machine(status.postgres_machine),
        *_machine(status.barman_machine),
        *_postgres(status),
        *_pooler(status),
        *_certificate(status),
        *_streaming(status),
        *_guard(status),
        *status.behind,
        *_hazards(status),
        *_backups(status),
        *_wal(status),
        *_alerting(status),
        *_checks(status),
    ]
    return sorted(reasons, key=lambda reason: -list(Verdict).index(reason.verdict))


def _machine(machine: MachineStatus) -> list[Reason]:
    if not machine.reachable:
        return [
            unprotected(
                f"{machine.name} cannot be reached: {machine.error}",
                "open docs/runbooks/a-machine-does-not-answer.md",
            )
        ]
    disk = machine.disk
    if disk is None:
        return []
    if not disk.mounted:
        return [
            unprotected(
                f"no disk is mounted at /data on {machine.name}",
                "sudo prepare-data-disk 0   (on that machine)",
            )
        ]
    used = 100 * disk.used_bytes / disk.total_bytes
    if used >= DISK_FULL_PERCENT:
        return [degraded(f"/data on {machine.name} is {used:.0f} % full")]
    return []


def _postgres(status: Status) -> list[Reason]:
    server = status.postgres
    if server is None:
        return []
    if not server.accepting:
        # Who owns the run knows why; a server started beside it would be in its way.
        next_command = None if status.run_under_way else _back(server, status.postgres_machine)
        text = f"PostgreSQL does not accept connections: {server.error}"
        return [unprotected(text, next_command)]
    if server.in_recovery:
        return [unprotected("PostgreSQL is in recovery", "python -m ops recover --resume")]
    return []


def _back(server: PostgresStatus, machine: MachineStatus) -> str:
    """What brings a server back that accepts no connections. What destroys is said only where there
    is nothing left to destroy."""
    error, disk = server.error or "", machine.disk
    if any(words in error for words in ALL_TAKEN):
        return (
            "end sessions that do nothing (pg_stat_activity, once one is free), or raise "
            "postgresParameters.max_connections"
        )
    start = "sudo systemctl start postgresql   (on its machine"
    if disk is not None and disk.mounted and disk.free_bytes < DISK_FULL_BYTES:
        return f"make room on /data, then {start})"
    if any(words in error for words in ON_ITS_WAY):
        return "python -m ops status   (again in a minute: it is on its way)"
    if server.has_data is False:
        return "python -m ops recover"
    return f"{start}; where it cannot be made to start: python -m ops recover)"


def _pooler(status: Status) -> list[Reason]:
    pooler = status.pooler
    if pooler is None:
        return []
    if not pooler.answers:
        return [
            degraded(
                f"the pooler does not answer: {pooler.error}",
                "sudo systemctl restart pgbouncer   (on PostgreSQL's machine; why: journalctl -u "
                "pgbouncer)",
            )
        ]
    if pooler.paused:
        # Who owns the run resumes it.
        next_command = None if status.run_under_way else "python -m ops apply"
        return [degraded("the pooler is paused: its clients wait", next_command)]
    # Whoever logs in waits behind them.
    if (pooler.longest_wait_s or 0) > POOLER_WAIT_S:
        return [
            degraded(
                f"{pooler.waiting} clients wait for a connection through the pooler, one of them "
                f"for {pooler.longest_wait_s:.0f} s",
                "open docs/runbooks/clients-wait.md",
            )
        ]
    if pooler.error:
        return [
            degraded(
                f"the owner of a database cannot log in through the pooler: {pooler.error}",
                "open docs/runbooks/clients-wait.md",
            )
        ]
    return []


def _certificate(status: Status) -> list[Reason]:
    ends, fix = status.certificate_ends, "python -m ops rotate tls"
    if ends is None or ends - status.at > timedelta(days=SOON_DAYS):
        return []
    if ends > status.at:
        return [degraded(f"PostgreSQL's certificate expires at {ends:%Y-%m-%d %H:%M} UTC", fix)]
    # Barman's receiver is a client, too: it goes on until its connection breaks.
    return [
        unprotected(
            f"PostgreSQL's certificate expired at {ends:%Y-%m-%d %H:%M} UTC: "
            "clients refuse new connections",
            fix,
        )
    ]


def _streaming(status: Status) -> list[Reason]:
    server, receiver, slot = status.postgres, status.receiver, status.slot
    if server is None or not server.accepting or server.in_recovery:
        return []
    reasons = []
    if slot is None:
        reasons.append(unprotected("Barman's replication slot is missing", "python -m ops rejoin"))
    elif slot.wal_status == "lost":
        reasons.append(
            unprotected("the replication slot has lost WAL: there is a gap", "python -m ops rejoin")
        )
    elif slot.wal_status == "unreserved":
        reasons.append(degraded("the replication slot is about to lose WAL"))
    if receiver is None or receiver.state not in ("streaming", "catchup"):
        state = receiver.state if receiver else "not connected"
        reasons.append(
            unprotected(
                f"Barman's WAL receiver is {state}: new WAL exists only on the PostgreSQL machine",
                "python -m ops rejoin",
            )
        )
    elif receiver.state == "catchup" or receiver.write_lag_bytes > LAG_BYTES:
        reasons.append(degraded(f"Barman is {receiver.write_lag_bytes / 2**20:.0f} MiB behind"))
    elif status.durability != "async" and receiver.sync_state not in ("sync", "quorum"):
        # The fallback is a choice the operator made; not waiting at `sync` is a fault.
        say = unprotected if status.durability == "sync" else degraded
        reasons.append(
            say(
                f"commits do not wait for Barman (sync_state {receiver.sync_state})",
                "sudo journalctl -u durability-guard   (on PostgreSQL's machine)",
            )
        )
    return reasons


def _guard(status: Status) -> list[Reason]:
    if not status.postgres_machine.reachable:
        return []
    if status.guard_blind is not None:
        return [
            degraded(
                "the durability guard cannot ask PostgreSQL, and goes by what its processes show: "
                f"{status.guard_blind}",
                "open docs/runbooks/commits-go-on-alone.md",
            )
        ]
    if status.guard_level == status.durability:
        return _patience(status)
    if status.guard_level is None:
        return [
            degraded(
                "the durability guard is silent: nobody sees whether commits wait for Barman",
                "sudo systemctl status durability-guard   (on PostgreSQL's machine)",
            )
        ]
    return [
        degraded(
            f"the durability guard runs {status.guard_level}, the stack asks for "
            f"{status.durability}",
            in_force.NEXT,
        )
    ]


def _patience(status: Status) -> list[Reason]:
    wanted, there = status.fallback_after_s, status.guard_fallback_after_s
    if status.durability != Level.FALLBACK or None in (wanted, there) or wanted == there:
        return []
    return [
        degraded(
            f"the durability guard falls back after {there:.0f} s, the stack asks for "
            f"{wanted:.0f} s",
            in_force.NEXT,
        )
    ]


def _hazards(status: Status) -> list[Reason]:
    if status.hazards is not None:
        return list(hazards.judge(status.hazards))
    # One that is down is reported as such.
    if status.postgres is None or not status.postgres.accepting or not status.hazards_unknown:
        return []
    return [
        degraded(
            f"what would stop PostgreSQL soon is not known: {status.hazards_unknown}",
            "python -m ops status   (again in a minute; PostgreSQL's log may say more)",
        )
    ]


def _backups(status: Status) -> list[Reason]:
    if not status.barman_machine.reachable:
        return []
    last, done = status.last_backup, status.last_done_backup
    reasons = [
        degraded(
            f"backup {bad.id} failed its verification: {bad.verification_error}",
            "python -m ops backup --wait   (then docs/runbooks/backup-is-damaged.md)",
        )
        for bad in status.unsound_backups
    ]
    if done is None:
        missing = unprotected("there is no complete backup", "python -m ops backup --wait")
        return [missing, *reasons]
    if last is not None and last.status == "FAILED" and last.verified is None:
        reasons.append(
            degraded(f"the last backup, {last.id}, failed", "python -m ops backup --wait")
        )
    if last is not None and last.status in CUT_OFF and not status.backup_running:
        reasons.append(
            degraded(f"the last backup, {last.id}, was cut off", "python -m ops backup --wait")
        )
    if done.verified is None and done.ended_at and status.at - done.ended_at > UNVERIFIED_AFTER:
        reasons.append(degraded(f"backup {done.id} has not been verified", "python -m ops verify"))
    if status.failed_drill is not None:
        reasons.append(
            degraded(
                f"the last restore drill failed: {status.failed_drill}",
                "python -m ops drills   (then docs/runbooks/drill-failed.md)",
            )
        )
    return reasons


def _wal(status: Status) -> list[Reason]:
    reasons = []
    newest = status.last_done_backup
    if status.missing_wal:
        reasons.append(
            unprotected(
                f"{status.missing_wal} WAL segments are missing after the newest backup: nothing "
                "after the gap can be brought back",
                "python -m ops rejoin   (docs/runbooks/wal-has-a-hole.md)",
            )
        )
    if newest is not None and newest.id in status.torn_backups:
        reasons.append(
            unprotected(
                f"backup {newest.id}, the newest, cannot be restored: WAL that it needs is gone",
                "python -m ops backup --wait",
            )
        )
    older = [torn for torn in status.torn_backups if newest is None or torn != newest.id]
    if older:
        reasons.append(
            degraded(
                f"{len(older)} older backups cannot be restored, for WAL that they need is gone: "
                f"{', '.join(older[:SHOWN])}{' …' if len(older) > SHOWN else ''}",
                f"python -m ops window; then, on Barman's machine, for each: sudo -u barman barman "
                f"delete {status.server} BACKUP",
            )
        )
    return reasons


def _alerting(status: Status) -> list[Reason]:
    if status.undeliverable is None:
        return []
    return [
        degraded(
            f"alerts cannot be delivered: {status.undeliverable}",
            "open docs/runbooks/monitoring-is-silent.md",
        )
    ]


def _checks(status: Status) -> list[Reason]:
    other = [c for c in status.checks if c.name == OTHER_CLUSTER and not c.ok]
    if other and status.postgres is not None and status.postgres.accepting:
        return [
            unprotected(
                "the running server is another cluster than the one that is backed up",
                "python -m ops rebuild postgres   (if that machine is new)",
            )
        ]
    failed = [
        check for check in status.checks if not check.ok and check.name not in JUDGED_ELSEWHERE
    ]
    return [
        degraded(
            f"barman check: {check.name.replace('_', ' ')} failed"
            + (f" ({check.hint})" if check.hint else "")
        )
        for check in failed
    ]
