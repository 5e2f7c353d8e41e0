"""What the page is made from: every part, or why it could not be asked."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from ops.archive.window import BackupList, Window
from ops.model import Status
from ops.watch.alerts import Alerts
from ops.watch.capacity import Capacity
from ops.watch.certificates import Certificate
from ops.watch.drills import DrillList
from ops.watch.durability import Durability
from ops.watch.statements import Statements

Value = TypeVar("Value")


@dataclass(frozen=True)
class Part(Generic[Value]):
    """One answer. `problem` is a sentence, and None when `value` is there."""

    value: Value | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Report:
    """Both machines, asked at about the same moment."""

    status: Status
    backups: Part[BackupList]
    window: Part[Window]
    durability: Part[Durability]
    alerts: Part[Alerts]
    drills: Part[DrillList]
    certificate: Part[Certificate]
    capacity: Part[Capacity]
    statements: Part[Statements]

    @property
    def at(self) -> datetime:
        """When it was asked, by the operator's clock."""
        return self.status.at
