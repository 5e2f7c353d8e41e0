"""What a run has done so far, kept on the Barman machine's disk: it outlives this program, the
connection, and a reboot of either machine."""

import getpass
import socket
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, Field

from host.domain.paths import CURRENT_RUNBOOK, RUNBOOKS
from ops.archive.plan import Plan
from ops.reach import shell
from ops.reach.ssh import Machine

# Runs that can only be gone on with.
_ALONE = {
    "rejoin": "python -m ops rejoin --resume",
    "migrate abort": "python -m ops migrate abort",
    "migrate end": "python -m ops migrate end",
}


class State(StrEnum):
    """How far a step has come; a step that never began has no record."""

    STARTED = "started"
    DONE = "done"
    UNDONE = "undone"


class StepRecord(BaseModel):
    """One step as it went."""

    name: str
    state: State
    seconds: float = 0.0
    note: str = ""


class Journal(BaseModel):
    """One run. `facts` are what steps have to remember for later steps and for undoing."""

    id: str
    kind: str
    operator: str
    started_at: datetime
    plan: Plan | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    facts: dict[str, Any] = Field(default_factory=dict)
    steps: list[StepRecord] = Field(default_factory=list)

    @classmethod
    def begin(cls, kind: str, plan: Plan | None = None, **options: Any) -> "Journal":
        """A new run, named by the moment it began."""
        now = datetime.now(UTC)
        return cls(
            id=f"{now:%Y%m%dT%H%M%SZ}",
            kind=kind,
            operator=f"{getpass.getuser()}@{socket.gethostname()}",
            started_at=now,
            plan=plan,
            options=options,
        )

    @property
    def folder(self) -> str:
        """The run's own directory on the Barman machine."""
        return f"{RUNBOOKS}/{self.id}"

    @property
    def finish_command(self) -> str:
        """What ends this run when it was interrupted."""
        if self.kind in _ALONE:
            return _ALONE[self.kind]
        abort = self.abort_command if self.kind.startswith("migrate ") else "--abort"
        return f"python -m ops {self.kind} --resume   (or {abort})"

    @property
    def abort_command(self) -> str:
        """What takes this run back."""
        if self.kind.startswith("migrate "):
            return "python -m ops migrate abort"
        return f"python -m ops {self.kind} --abort"

    def record(self, name: str) -> StepRecord | None:
        return next((step for step in self.steps if step.name == name), None)

    def note(self, name: str, state: State, seconds: float = 0.0, note: str = "") -> None:
        """Set a step's record."""
        record = self.record(name)
        if record is None:
            record = StepRecord(name=name, state=state)
            self.steps.append(record)
        record.state = state
        record.seconds += seconds
        record.note = note or record.note

    def describe(self) -> str:
        """For a sentence about somebody else's run."""
        last = self.steps[-1].name if self.steps else "its beginning"
        return (
            f"{self.kind} {self.id}, begun by {self.operator} at "
            f"{self.started_at:%Y-%m-%d %H:%M:%S} UTC, now at step {last}"
        )


def save(machine: Machine, journal: Journal) -> None:
    """Write the journal of the run under way."""
    text = journal.model_dump_json(indent=1).encode()
    shell.run(
        machine,
        "save-journal",
        RUNBOOKS,
        journal.folder,
        CURRENT_RUNBOOK,
        str(len(text)),
        stdin=text,
    )


def load(machine: Machine) -> Journal | None:
    """The run under way, or None."""
    return parse(machine.run(["cat", CURRENT_RUNBOOK], accept=(0, 1)).stdout)


def parse(text: str) -> Journal | None:
    """The run that CURRENT_RUNBOOK tells of; None where it is empty or not there."""
    return Journal.model_validate_json(text) if text else None


def close(machine: Machine, journal: Journal) -> None:
    """The run is over; its journal stays in its own directory."""
    save(machine, journal)
    machine.run(["mv", CURRENT_RUNBOOK, f"{journal.folder}/journal.json"])


def past(machine: Machine) -> list[Journal]:
    """Runs that are over, newest first."""
    result = shell.run(machine, "past-journals", RUNBOOKS)
    found = [
        Journal.model_validate_json(line) for line in result.stdout.splitlines() if line.strip()
    ]
    return sorted(found, key=lambda journal: journal.id, reverse=True)
