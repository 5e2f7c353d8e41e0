"""`ops durability`: whether commits wait for Barman, and every interval in which they did not."""

import json
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from host.domain import histories
from host.domain.paths import DURABILITY_HISTORY
from host.domain.processes import APPLICATION_NAME
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import postgres
from ops.reach.ssh import CommandFailed, Site
from ops.screen import moment, span
from ops.watch import guard

_STATE = """
SELECT json_build_object(
  'standby', current_setting('synchronous_standby_names'),
  'sync_state', (SELECT sync_state FROM pg_stat_replication
    WHERE application_name = '%(receiver)s' ORDER BY state = 'streaming' DESC LIMIT 1),
  'waiting', (SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'))
"""


class Exposure(BaseModel):
    """An interval in which commits were acknowledged without Barman: the RPO was not 0."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    reason: str
    """async, not armed yet, fallback, recovery or overridden (docs/durability.md)."""
    began_at: datetime
    ended_at: datetime | None
    """None while it lasts."""
    seconds: float | None
    """By a clock that never jumps, where the machine was not rebooted in between."""
    began_lsn: str
    ended_lsn: str | None


class Durability(BaseModel):
    """Whether a commit is on Barman's disk before it is acknowledged."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    level: str
    """As configured: async, sync or sync-with-fallback."""
    guard_level: str | None = None
    """As the guard's process runs; null when it has not looked at the server for 15 s."""
    commits_wait: bool | None
    """Whether they do just now; null while PostgreSQL does not answer."""
    sync_state: str | None
    """Of Barman's receiver, by PostgreSQL; null when it is not connected."""
    waiting_commits: int | None
    """How many wait at this moment."""
    guard_running: bool
    exposures: list[Exposure]
    """Oldest first; with level async the last one lasts."""


def read(site: Site) -> Durability:
    """Ask PostgreSQL's machine. Raises OperatorError if it cannot be reached."""
    machine = site.postgres
    output = machine.run(["cat", DURABILITY_HISTORY], accept=(0, 1))
    active = machine.run(["systemctl", "is-active", guard.UNIT], accept=None)
    try:
        sql = _STATE % {"receiver": APPLICATION_NAME}
        now: dict[str, Any] = json.loads(postgres.query(machine, sql, timeout_s=20))
    except CommandFailed:
        now = {}
    return Durability(
        level=site.outputs.backup.durability,
        guard_level=guard.read(machine).level,
        commits_wait=bool(now["standby"]) if now else None,
        sync_state=now.get("sync_state"),
        waiting_commits=now.get("waiting"),
        guard_running=active.stdout.strip() == "active",
        exposures=exposures(output.stdout),
    )


def exposures(history: str) -> list[Exposure]:
    """The intervals in the guard's history."""
    found: list[Exposure] = []
    for event in histories.parse(history):
        if event["event"] not in ("exposed", "protected"):
            continue
        last = found[-1] if found else None
        if last is not None and last.ended_at is None:
            last.ended_at = datetime.fromisoformat(event["at"])
            last.ended_lsn = event["lsn"]
            last.seconds = event.get("seconds")
        if event["event"] == "exposed":
            began = datetime.fromisoformat(event["at"])
            found.append(
                Exposure(
                    reason=event["reason"],
                    began_at=began,
                    ended_at=None,
                    seconds=None,
                    began_lsn=event["lsn"],
                    ended_lsn=None,
                )
            )
    return found


def show(found: Durability, console: Console) -> None:
    """For people: one sentence, then the intervals."""
    console.print(sentence(found), markup=False, highlight=False)
    if not found.guard_running:
        raise OperatorError(
            "The durability guard does not run; systemd should have started it again.",
            NOTHING_CHANGED,
            next_command=f"sudo systemctl status {guard.UNIT}   (on the PostgreSQL machine)",
        )
    if not found.exposures:
        return
    table = Table("began", "ended", "for", "reason", "WAL")
    for item in found.exposures:
        ended = item.ended_at
        seconds = item.seconds
        if seconds is None and ended is not None:
            seconds = (ended - item.began_at).total_seconds()
        table.add_row(
            moment(item.began_at),
            moment(ended) if ended else "lasts",
            span(seconds),
            item.reason,
            f"{item.began_lsn} to {item.ended_lsn or 'now'}",
        )
    console.print("Commits were acknowledged without Barman (RPO not 0):")
    console.print(table)


def sentence(found: Durability) -> str:
    """The state in one line."""
    head = f"durability {found.guard_level or 'unknown, for its guard is silent'}: "
    if found.guard_level not in (None, found.level):
        head = f"durability {found.guard_level}, not {found.level} as the stack asks: "
    if found.commits_wait is None:
        return head + "PostgreSQL does not answer"
    if not found.commits_wait:
        return head + "commits do not wait for Barman just now"
    if found.sync_state not in ("sync", "quorum"):
        return head + f"commits wait for Barman, which is away ({found.waiting_commits} waiting)"
    return head + "every commit is on Barman's disk before it is acknowledged"
