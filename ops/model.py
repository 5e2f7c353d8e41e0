"""What `status --json` says: the stable, documented form of everything it knows."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class Verdict(StrEnum):
    """The one word, and the command's exit code: 0, 1, 2 in this order."""

    PROTECTED = "protected"
    DEGRADED = "degraded"
    UNPROTECTED = "unprotected"

    @property
    def exit_code(self) -> int:
        return list(Verdict).index(self)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Disk(_Model):
    """The file system at /data."""

    mounted: bool
    """Whether a disk of its own is mounted at /data."""
    total_bytes: int
    used_bytes: int
    free_bytes: int


class MachineStatus(_Model):
    """One machine, as seen over SSH."""

    name: str
    reachable: bool
    error: str | None = None
    """Why it cannot be reached."""
    uptime_s: float | None = None
    os: str | None = None
    disk: Disk | None = None


class PostgresStatus(_Model):
    """The server, asked on its own machine."""

    accepting: bool
    """Whether it accepts connections."""
    error: str | None = None
    has_data: bool | None = None
    """Whether there is a data directory to start it on; null while it accepts connections."""
    version: str | None = None
    system_id: str | None = None
    timeline: int | None = None
    in_recovery: bool | None = None
    replay_paused: bool | None = None
    started_at: datetime | None = None
    lsn: str | None = None
    """Where its WAL ends now."""
    synchronous_standby_names: str | None = None
    connections: int | None = None
    """Client connections, this one not counted."""
    tablespaces: list[str] = Field(default_factory=list)
    """Those made by hand."""


class ReceiverStatus(_Model):
    """Barman's WAL receiver as PostgreSQL sees it (pg_stat_replication)."""

    state: str
    sync_state: str
    write_lag_bytes: int
    """WAL the server has written and the receiver has not yet confirmed to have received."""
    flush_lag_bytes: int
    """The same for WAL the receiver has forced to its disk."""
    connected_at: datetime


class SlotStatus(_Model):
    """The replication slot that keeps WAL for Barman."""

    name: str
    active: bool
    retained_bytes: int | None = None
    """WAL kept on PostgreSQL's disk for Barman."""
    wal_status: str | None = None
    """reserved, extended, unreserved or lost."""
    safe_wal_bytes: int | None = None
    """WAL that may still be written before the slot is at risk; null is without limit."""


class PoolerStatus(_Model):
    """PgBouncer, asked on PostgreSQL's machine."""

    answers: bool
    """Whether it can be asked at all."""
    error: str | None = None
    """Why it cannot be asked, or lets no owner of a database in; null when it does, and when that
    was not tried because PostgreSQL accepts no connections or the pooler is paused."""
    paused: bool | None = None
    """Whether its clients wait until it is resumed."""
    waiting: int | None = None
    """Clients that wait for a connection."""
    longest_wait_s: float | None = None
    """For how long the first of them has."""


class BackupStatus(_Model):
    """One base backup in Barman's catalogue."""

    id: str
    status: str
    """DONE, WAITING_FOR_WALS, STARTED, EMPTY, SYNCING or FAILED."""
    type: str
    ended_at: datetime | None = None
    size_bytes: int | None = None
    """What it takes on Barman's disk, with the WAL that it needs."""
    timeline: int | None = None
    verified: bool | None = None
    """Whether its newest verification found it sound; null if it was never verified."""
    verified_at: datetime | None = None
    verification_error: str | None = None


class Check(_Model):
    """One line of `barman check`."""

    name: str
    ok: bool
    hint: str = ""


class Hazards(_Model):
    """What would stop or fill the server soon."""

    overruled: list[str] = Field(default_factory=list)
    """Parameters of the stack that ALTER SYSTEM has set to something else."""
    failing_archiver: str | None = None
    """The WAL file that an archive_command of the operator's own fails for."""
    retaining_slots: list[str] = Field(default_factory=list)
    """Slots other than Barman's that keep more WAL than max_wal_size."""
    oldest_prepared_s: float | None = None
    """For how long the oldest prepared transaction has waited."""
    oldest_transaction_s: float | None = None
    """For how long the oldest transaction has had a snapshot."""
    xid_age: int | None = None
    """Of the oldest transaction or multixact id."""
    shut_out_owners: dict[str, str] = Field(default_factory=dict)
    """Owners of the stack's databases who may not log in, each with the reason."""
    cannot_restart: str | None = None
    """Why PostgreSQL could not be started again with what was set since it was started."""


class Reason(_Model):
    """Why the verdict is not `protected`, and what to do about it."""

    verdict: Verdict
    text: str
    next_command: str | None = None


class Status(_Model):
    """Whether the database is up and its data can be brought back."""

    verdict: Verdict
    reasons: list[Reason]
    """Worst first; empty when protected."""
    at: datetime
    """When this was asked, by this machine's clock."""
    server: str
    """The name Barman knows the server by."""
    durability: str
    """As the stack has it."""
    guard_level: str | None = None
    """As the guard's process runs; null when it has not looked at the server for 15 s."""
    fallback_after_s: float | None = None
    """For how long commits wait for an absent Barman, as the stack has it; null in a stack of
    before."""
    guard_fallback_after_s: float | None = None
    """As the guard's process runs."""
    guard_blind: str | None = None
    """Why the guard cannot ask PostgreSQL, which runs; null when it can."""
    behind: list[Reason] = Field(default_factory=list)
    """What the machines do not have of the stack's last update."""
    hazards: Hazards | None = None
    """null when PostgreSQL could not be asked."""
    hazards_unknown: str | None = None
    """Why a server that accepts connections could not be asked for them; null when it could."""
    postgres_machine: MachineStatus
    barman_machine: MachineStatus
    postgres: PostgresStatus | None = None
    pooler: PoolerStatus | None = None
    """null in a stack without one."""
    receiver: ReceiverStatus | None = None
    slot: SlotStatus | None = None
    certificate_ends: datetime | None = None
    """When clients begin to refuse PostgreSQL's certificate; null when it could not be asked."""
    barman_version: str | None = None
    checks: list[Check] = Field(default_factory=list)
    backups: int = 0
    """Backups that are complete."""
    backup_running: bool = False
    """Whether one is being taken now."""
    last_backup: BackupStatus | None = None
    """The newest attempt, whatever became of it."""
    last_done_backup: BackupStatus | None = None
    unsound_backups: list[BackupStatus] = Field(default_factory=list)
    """Damaged ones, and the newest complete one if WAL after it is damaged."""
    torn_backups: list[str] = Field(default_factory=list)
    """Complete ones without the WAL that they need themselves: they cannot be restored."""
    missing_wal: int = 0
    """Segments that are not there between the newest complete backup and now."""
    failed_drill: str | None = None
    """Why the newest restore drill failed; null when it passed, or none was held."""
    restorable_from: datetime | None = None
    """End of the oldest complete backup: the earliest moment that can be brought back."""
    run_under_way: Reason | None = None
    """The runbook that has begun and not ended, and what ends it; null when there is none."""
    alerts: list[str] | None = None
    """Names of the alerts that fire (`ops alerts`); null when Alertmanager does not answer."""
    undeliverable: str | None = None
    """Why alerts cannot be delivered; null when nothing speaks against it."""
    possible_loss_bytes: int | None = None
    """WAL that would be lost if PostgreSQL's machine vanished now."""
