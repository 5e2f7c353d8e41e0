"""The rows of a run, until all of them are there."""

import os
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tools.faults_page import Results, Row


@dataclass
class Report:
    """All rows of a run, in which the time of the fallback is `limit_s`."""

    limit_s: int
    began: float = field(default_factory=time.monotonic)
    rows: list[Row] = field(default_factory=list)

    def results(self) -> Results:
        """What `make docs` writes docs/faults.md from."""
        return Results(
            ended=f"{datetime.now(UTC):%Y-%m-%d %H:%M}",
            minutes=(time.monotonic() - self.began) / 60,
            cpus=os.cpu_count() or 1,
            limit_s=self.limit_s,
            rows=self.rows,
        )
