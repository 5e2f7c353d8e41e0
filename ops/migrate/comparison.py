"""What `migrate compare --json` says: what is not the same at the source and here."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class Aspect(StrEnum):
    """In which way two things differ."""

    EXISTENCE = "existence"
    DEFINITION = "definition"
    OWNER = "owner"
    GRANTS = "grants"
    SETTING = "setting"
    ATTRIBUTE = "attribute"
    MEMBERSHIP = "membership"
    VALUE = "value"


class Difference(_Model):
    """One thing that is not the same on both sides."""

    kind: str
    """TABLE, INDEX, TRIGGER, …, as pg_dump calls it; ROLE or DATABASE."""
    name: str
    aspect: Aspect
    source: str | None
    """What only the source says; null where it has none."""
    here: str | None
    """What only this server says; null where it has none."""


class RowDifference(_Model):
    """A table whose rows are not the same on both sides, or large objects."""

    name: str
    source_rows: int | None
    """null: there is no such table, or it was never filled."""
    here_rows: int | None
    columns_source: list[str]
    """Columns that only the source has. Rows are compared by those that both have."""
    columns_here: list[str]
    key: list[str]
    """The columns by whose values rows are named; empty where a row is named by all of it."""
    only_source: int
    """Rows that only the source has."""
    only_here: int
    changed: int
    """Rows of the same key with something else in them."""
    complete: bool
    """False: there are more than were counted."""
    first_only_source: list[str]
    first_only_here: list[str]
    first_changed: list[str]


class Unread(_Model):
    """What could not be compared, and may differ."""

    what: str
    reason: str


class LeftOut(_Model):
    """What differs, or may, and is no difference; and why."""

    reason: str
    names: list[str]


class DatabaseComparison(_Model):
    """One database on both sides."""

    name: str
    definitions: int
    """How many were compared."""
    tables: int
    """Partitions and materialized views are tables, too."""
    rows: int
    """At the source."""
    bytes: int
    """Of these tables, on the larger side of each."""
    sampled: list[str]
    """Tables of which, beside every key, only a part of the rows was compared."""
    sequences: int
    large_objects: int
    differences: list[Difference]
    row_differences: list[RowDifference]
    unread: list[Unread]
    left_out: list[LeftOut]


class Comparison(_Model):
    """The source and this server side by side. Both were only read."""

    began: datetime
    ended: datetime
    identical: bool
    """False: something differs, or could not be compared."""
    host: str
    port: int
    server: str
    """The name of the PostgreSQL machine."""
    sample_percent: float
    """Of the rows of large tables."""
    differences: list[Difference]
    """Roles, and databases as a whole."""
    unread: list[Unread]
    left_out: list[LeftOut]
    databases: list[DatabaseComparison] = Field(default_factory=list)
