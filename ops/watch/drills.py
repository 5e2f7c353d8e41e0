"""Restore drills: what they have shown, when the next one is due, and one held now."""

import json
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, ValidationError
from rich.console import Console
from rich.table import Table

from host.domain import histories
from host.domain.paths import DRILL_HISTORY, DRILL_STATE
from ops.errors import OperatorError
from ops.reach.ssh import Machine, Site
from ops.screen import moment, size, span

UNIT = "restore-drill"
POLL_S = 2.0
EXIT_CODES = {"passed": 0, "declined": 1, "failed": 2}


class DrillCheck(BaseModel):
    """One thing that was looked at in the restored copy."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """marker, pg_amcheck, or `query in` a database."""
    ok: bool
    detail: str
    seconds: float


class Drill(BaseModel):
    """One restore drill, as it went."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    at: datetime
    """When it began."""
    backup_id: str | None
    outcome: str
    """passed, failed (the backup could not be brought back whole) or declined (not held: that says
    nothing about the backup)."""
    reason: str | None
    """Why it did not pass."""
    target_time: datetime | None
    """The random moment that was replayed to."""
    rto_s: float | None
    """From the beginning of the restore until connections were accepted."""
    rpo_s: float | None
    """How much before that moment the newest marker row was written: at most ten seconds, the
    marker's own step, when nothing is missing."""
    restored_bytes: int | None
    checks: list[DrillCheck] = []
    libraries: list[str] = []
    """Shared libraries with functions of the users' extensions, as pg_proc has them."""
    locales: list[str] = []
    """Locales of the databases and of the users' collations."""


class DrillList(BaseModel):
    """Every drill that was recorded, and when the next one is due."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    next_at: datetime | None
    """null when the timer does not run."""
    running: bool
    drills: list[Drill]
    """Oldest first."""


def read(site: Site) -> DrillList:
    """What the Barman machine has recorded. Raises OperatorError if it cannot be reached."""
    machine = site.barman
    due = machine.run(
        ["systemctl", "show", "--value", "-p", "NextElapseUSecRealtime", f"{UNIT}.timer"],
        accept=None,
    ).stdout.strip()
    return DrillList(next_at=_due(due), running=_running(machine), drills=recorded(machine))


def parse(history: str) -> list[Drill]:
    """The drills in a history."""
    found = []
    for entry in histories.parse(history):
        try:
            found.append(Drill.model_validate(entry))
        except ValidationError:
            # Of another version of the program.
            continue
    return found


def failure(found: Sequence[Drill]) -> str | None:
    """Why the newest drill that was held failed; None when it passed, or none was held."""
    held = [drill for drill in found if drill.outcome != "declined"]
    return held[-1].reason if held and held[-1].outcome == "failed" else None


def recorded(machine: Machine) -> list[Drill]:
    """The drills that the Barman machine has recorded, oldest first."""
    return parse(machine.run(["cat", DRILL_HISTORY], accept=(0, 1)).stdout)


def _due(text: str) -> datetime | None:
    """From systemd's words, such as `Sun 2026-11-29 12:00:00 UTC`."""
    try:
        return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC)
    except ValueError:
        return None


def _running(machine: Machine) -> bool:
    state = machine.run(["systemctl", "is-active", UNIT], accept=None).stdout.strip()
    return state in ("activating", "active", "deactivating")


def hold(site: Site, say: Callable[[str], None]) -> Drill:
    """Hold a drill now, or see the one that runs through, and return its record.

    It is the machine's own work: a lost connection does not end it. Raises OperatorError.
    """
    machine = site.barman
    before = read(site)
    if before.running:
        say("a drill is already running; following it")
    else:
        machine.run(["systemctl", "reset-failed", UNIT], accept=None)
        machine.run(["systemctl", "start", "--no-block", UNIT])
    shown = ""
    while True:
        time.sleep(POLL_S)
        state = machine.run(["cat", f"{DRILL_STATE}/current.json"], accept=(0, 1)).stdout
        phase = _phase(state)
        if phase and phase != shown:
            say(phase)
            shown = phase
        if not _running(machine):
            break
    after = read(site).drills
    if len(after) <= len(before.drills):
        log = machine.run(["journalctl", "-u", UNIT, "-n", "8", "-o", "cat"], accept=None).stdout
        raise OperatorError(
            f"The drill left no record. The end of its log:\n{log.strip()}",
            "A drill ran on the Barman machine; it writes only to a directory of its own.",
            next_command=f"sudo journalctl -u {UNIT}   (on the Barman machine)",
        )
    return after[-1]


def _phase(state: str) -> str:
    try:
        return json.loads(state)["phase"]
    except (ValueError, KeyError):
        return ""


def describe(drill: Drill) -> str:
    """A drill in some sentences."""
    lines = [f"The drill of {moment(drill.at)} {drill.outcome}."]
    if drill.reason:
        lines.append(f"Why: {drill.reason}")
    if drill.rto_s is not None:
        lines.append(
            f"Backup {drill.backup_id}, {size(drill.restored_bytes)}, was up again after "
            f"{span(drill.rto_s)}, at {moment(drill.target_time)}; the newest marker row was "
            f"{span(drill.rpo_s)} older."
        )
    lines += [f"  {'ok ' if c.ok else 'BAD'} {c.name}: {c.detail}" for c in drill.checks]
    if drill.outcome != "passed":
        lines.append("Next: docs/runbooks/drill-failed.md")
    return "\n".join(lines)


def show(found: DrillList, console: Console) -> None:
    """For people: a table, the newest last, and when the next one is due."""
    if found.drills:
        table = Table("began", "backup", "outcome", "size", "up after", "behind", "why not")
        for drill in found.drills:
            table.add_row(
                moment(drill.at),
                drill.backup_id or "-",
                drill.outcome,
                size(drill.restored_bytes),
                span(drill.rto_s),
                span(drill.rpo_s),
                drill.reason or "",
            )
        console.print(table)
    else:
        console.print("No drill was held yet.")
    if found.running:
        console.print("A drill is running. Next: python -m ops drill --now   (follows it)")
    console.print(f"The next one is due at {moment(found.next_at)}.", highlight=False)
