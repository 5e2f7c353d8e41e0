"""docs/faults.md, as the run saw it."""

import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

HEAD = """\
# Faults, and what became of acknowledged commits

Written by `make test-faults` on the lab, two real machines; `fallbackAfterSeconds` was {limit}.
The ledger of acknowledged commits is kept outside both machines, by several clients at once. A row
whose promise is not kept fails the run. Rows marked *control* do the same with the protection off,
and fail the run if nothing is lost: they show that the ledger would notice.

Last run: {when} UTC, {rows} rows in {minutes:.0f} minutes on {cpus} CPUs, once the stack was up.

| fault | level | seen | acknowledged | lost | protected again after |
|---|---|---|---:|---:|---:|
"""


@dataclass
class Row:
    """One fault, as it went."""

    fault: str
    level: str
    seen: str = ""
    acknowledged: int = 0
    lost: int = 0
    protected_after_s: float | None = None

    def line(self) -> str:
        again = "-" if self.protected_after_s is None else f"{self.protected_after_s:.1f} s"
        cells = (self.fault, self.level, self.seen, self.acknowledged, self.lost, again)
        return "| " + " | ".join(str(cell) for cell in cells) + " |"


@dataclass
class Report:
    """All rows of a run."""

    limit_s: int
    began: float = field(default_factory=time.monotonic)
    rows: list[Row] = field(default_factory=list)

    def text(self) -> str:
        """The page."""
        when = f"{datetime.now(UTC):%Y-%m-%d %H:%M}"
        head = HEAD.format(
            limit=f"{self.limit_s} s",
            when=when,
            rows=len(self.rows),
            minutes=(time.monotonic() - self.began) / 60,
            cpus=os.cpu_count(),
        )
        return head + "\n".join(row.line() for row in self.rows) + "\n"
