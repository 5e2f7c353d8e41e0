"""What `migrate plan --json` says: what is at the source, and what stands in its way here."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from ops.migrate.service import Service


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Finding(_Model):
    """One thing to know, and what to do about it."""

    text: str
    database: str | None = None
    next_command: str | None = None
    required: bool = True
    """False: it goes without as well, as the text says."""


class Extension(_Model):
    """One that a database at the source uses."""

    name: str
    version: str
    here: str | None = None
    """The version that this server offers; null when it lacks it."""
    package: str | None = None
    """The Debian package that brings it, where one is needed and known."""
    left_behind: bool = False
    """Whether it is the service's own and of no use elsewhere."""


class Collation(_Model):
    """One that columns or indexes name."""

    name: str
    provider: str
    """c is the C library, i is ICU, b is PostgreSQL itself."""
    locale: str | None
    here: bool = True
    """Whether this server has it, or what it is made of."""


class Database(_Model):
    """One database that would come along. Names of what is in it are as SQL writes them."""

    name: str
    owner: str
    size_bytes: int
    encoding: str
    collate: str
    ctype: str
    provider: str
    """c is the C library, i is ICU, b is PostgreSQL itself."""
    locale: str
    """What its text is ordered by, as the provider calls it."""
    exists_here: bool = False
    order_changes: bool = False
    """Whether text sorts otherwise here, where PostgreSQL's own C.UTF-8 orders by code points."""
    tables: int
    sequences: int
    views: int
    extensions: list[Extension]
    collations: list[Collation]
    text_indexes: list[str]
    """B-tree indexes in the order of the database's own collation."""
    text_partitions: list[str]
    """Tables partitioned by ranges of text in that order."""
    large_objects: int
    without_key: list[str]
    """Tables whose UPDATE and DELETE cannot be followed."""
    unlogged: list[str]
    partitioned: list[str]
    foreign_tables: list[str]
    materialized_views: list[str]
    generated_columns: list[str]
    identity_columns: list[str]
    triggers: list[str]
    event_triggers: list[str]
    publications: list[str]
    subscriptions: list[str]
    row_security: list[str]
    invalid_indexes: list[str]
    superuser_objects: list[str]
    """What a superuser there owns; here it would belong to ours."""


class Role(_Model):
    """One role that would come along."""

    name: str
    login: bool
    exists_here: bool = False
    """Whether this server has a role of that name; it keeps its password."""
    lost: list[str] = Field(default_factory=list)
    """What of it cannot come along, a phrase each."""


class Setting(_Model):
    """A parameter that applications notice, and that is not the same here."""

    name: str
    source: str
    here: str | None
    """null: unknown here."""


class Slot(_Model):
    """A replication slot at the source. It stays there, and keeps WAL there."""

    name: str
    type: str
    database: str | None
    active: bool


class Blocker(_Model):
    """What a copy or a new slot at the source would wait for, or keep from being cleaned up."""

    kind: str
    """transaction or prepared."""
    name: str
    """The process id, or the name that it was prepared under."""
    database: str | None
    role: str | None
    age_s: float


class LeftBehind(_Model):
    """What the service has added for itself."""

    kind: str
    """database, role, schema or extension."""
    name: str
    database: str | None = None


class Room(_Model):
    """What the data need at /data of one machine."""

    machine: str
    needed_bytes: int
    free_bytes: int


class Measured(_Model):
    """How fast rows came over, and what follows from it."""

    bytes_per_s: float
    copy_s: float
    """For all databases, with their indexes' bytes taken for rows: with the applications stopped,
    writes stop for about this long."""
    cutover_s: float
    """What tables that cannot be followed add to the seconds of a cutover."""


class Source(_Model):
    """The server to move from."""

    host: str
    port: int
    user: str
    service: Service
    version: str
    tls: str | None
    """The protocol's version of this very connection; null without TLS."""
    in_recovery: bool
    wal_level: str
    replication: bool
    """Whether the user may replicate."""
    free_slots: int
    """Replication slots that could still be made."""


class MigrationPlan(_Model):
    """What would be moved, and whether it can be. Nothing was changed for it."""

    at: datetime
    possible: bool
    """False: what `refusals` name has to be settled first."""
    refusals: list[Finding]
    for_following: list[Finding]
    """What to change at the source before it can be followed; a copy alone does not need it."""
    warnings: list[Finding]
    source: Source
    server: str
    """The name of the PostgreSQL machine that would copy."""
    version: str
    """Its PostgreSQL's."""
    databases: list[Database]
    roles: list[Role]
    settings: list[Setting]
    slots: list[Slot]
    blockers: list[Blocker]
    left_behind: list[LeftBehind]
    room: list[Room]
    measured: Measured | None = None
    """With --measure."""


class Following(_Model):
    """One database that is followed, as both servers see it."""

    database: str
    error: str | None = None
    """Why it could not be asked."""
    enabled: bool | None = None
    """Whether this server's subscription is switched on; null where there is none."""
    running: bool = False
    failures: int = 0
    """How often applying a change has failed."""
    heard_s: float | None = None
    """Seconds since the source was last heard of."""
    slot: str | None = None
    """`there` or `gone`, at the source; null where that could not be asked."""
    active: bool = False
    wal_status: str | None = None
    """As PostgreSQL calls it: reserved, extended, unreserved or lost."""
    safe_wal_bytes: int | None = None
    """What may still be written at the source before the slot is lost; null: no limit."""
    lag_bytes: int | None = None
    """What the source has written and this server does not have yet."""
    retained_bytes: int | None = None
    """WAL that the source retains for it."""
    changed: list[str] = Field(default_factory=list)
    """Tables, views and sequences that DDL has changed at the source since the copy."""


class WayBack(_Model):
    """One database that was cut over, and whose changes go back to the source."""

    database: str
    error: str | None = None
    """What keeps changes from going back."""
    active: bool = False
    """Whether the unit that takes them back is running."""
    slot: str | None = None
    """`there` or `gone`, on this server; null where that could not be asked."""
    wal_status: str | None = None
    """As PostgreSQL calls it: reserved, extended, unreserved or lost."""
    safe_wal_bytes: int | None = None
    """What may still be written here before the slot is lost; null: no limit."""
    lag_bytes: int | None = None
    """What this server has written and the source does not have yet."""
    retained_bytes: int | None = None
    """WAL that this server retains for it."""
    changed: list[str] = Field(default_factory=list)
    """Tables, views and sequences that DDL has changed here since the cutover."""
    left: list[str] = Field(default_factory=list)
    """What does not go back: tables without a key, unlogged and new ones, large objects."""


class MoveStatus(_Model):
    """A move under way."""

    source: str
    user: str
    follow: bool
    run: str | None = None
    """The run that is under way, or was interrupted."""
    databases: list[Following]
    """Those that are followed; none before the copy is complete, nor after the cutover."""
    back: list[WayBack] = Field(default_factory=list)
    """After a cutover with a way back: those that have one."""
