"""The point to recover to, as the operator names it. Pure."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from ops.errors import NOTHING_CHANGED, OperatorError

_LSN = re.compile(r"[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}")


class Kind(StrEnum):
    """PostgreSQL's kinds of recovery target; LATEST is none of them: the end of WAL."""

    LATEST = "latest"
    TIME = "time"
    XID = "xid"
    LSN = "lsn"
    NAME = "name"
    IMMEDIATE = "immediate"


class Target(BaseModel):
    """A point in the database's history; `value` as PostgreSQL's recovery_target_* wants it."""

    model_config = ConfigDict(frozen=True)

    kind: Kind = Kind.LATEST
    value: str = ""
    exclusive: bool = False

    @property
    def time(self) -> datetime:
        """The target of kind TIME."""
        return datetime.fromisoformat(self.value)

    def describe(self) -> str:
        """For a sentence: 'the state at …'."""
        last = "just before" if self.exclusive else "up to and including"
        return {
            Kind.LATEST: "the last acknowledged commit",
            Kind.TIME: f"{last} {self.value}",
            Kind.XID: f"{last} transaction {self.value}",
            Kind.LSN: f"{last} {self.value}",
            Kind.NAME: f"restore point {self.value}",
            Kind.IMMEDIATE: "the end of the backup itself",
        }[self.kind]


@dataclass(frozen=True)
class Point:
    """What to restore: a target, and where from, if the operator chose that."""

    target: Target = field(default_factory=Target)
    backup_id: str | None = None
    timeline: int | None = None


def parse(
    *,
    time: str | None = None,
    xid: str | None = None,
    lsn: str | None = None,
    name: str | None = None,
    immediate: bool = False,
    exclusive: bool = False,
) -> Target:
    """The one target that was given, LATEST if none. Raises OperatorError."""
    given = [
        (Kind.TIME, time),
        (Kind.XID, xid),
        (Kind.LSN, lsn),
        (Kind.NAME, name),
        (Kind.IMMEDIATE, "immediate" if immediate else None),
    ]
    chosen = [(kind, value) for kind, value in given if value is not None]
    if len(chosen) > 1:
        names = {Kind.IMMEDIATE: "--immediate"}
        options = " and ".join(names.get(kind, f"--target-{kind}") for kind, _ in chosen)
        raise OperatorError(f"{options} were given; there can be only one target.", NOTHING_CHANGED)
    if not chosen:
        if exclusive:
            raise OperatorError(
                "--exclusive needs a target: --target-time, -xid or -lsn.", NOTHING_CHANGED
            )
        return Target()
    kind, value = chosen[0]
    if exclusive and kind in (Kind.NAME, Kind.IMMEDIATE):
        raise OperatorError(f"--exclusive means nothing with the target {kind}.", NOTHING_CHANGED)
    return Target(kind=kind, value=_checked(kind, value), exclusive=exclusive)


def _checked(kind: Kind, value: str) -> str:
    if kind is Kind.TIME:
        return parse_time(value).isoformat(sep=" ")
    if kind is Kind.XID and not (value.isdigit() and int(value) >= 3):
        raise OperatorError(
            f"--target-xid {value}: a transaction id is a number from 3 on.", NOTHING_CHANGED
        )
    if kind is Kind.LSN and not _LSN.fullmatch(value):
        raise OperatorError(
            f"--target-lsn {value}: write it as PostgreSQL does: 0/3000028.", NOTHING_CHANGED
        )
    if kind is Kind.NAME and not (0 < len(value.encode()) < 64 and value.isprintable()):
        raise OperatorError(
            "--target-name: a restore point has 1 to 63 printable characters.", NOTHING_CHANGED
        )
    return value


def parse_time(text: str) -> datetime:
    """A moment with its zone. Raises OperatorError, with both readings, when there is none and the
    two differ."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise OperatorError(
            f"--target-time {text!r} is not a time. Write it like 2026-05-01 14:30:00+02:00, or "
            "with Z for UTC.",
            NOTHING_CHANGED,
        ) from None
    if moment.tzinfo is None:
        utc = moment.replace(tzinfo=UTC)
        here = moment.astimezone()
        if here == utc:
            return utc
        raise OperatorError(
            f"--target-time {text!r} names no time zone, so it could mean\n"
            f"  {utc.isoformat(sep=' ')}   (UTC), or\n"
            f"  {here.isoformat(sep=' ')}   (this machine's zone, {here.tzname()}), which is "
            f"{here.astimezone(UTC).isoformat(sep=' ')}",
            NOTHING_CHANGED,
            next_command=f"the same with --target-time '{utc.isoformat(sep=' ')}'",
        )
    return moment
