"""Writes docs/faults.md from what the last whole run of the fault matrix has stored."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "docs" / "faults.md"
RESULTS = ROOT / ".lab" / "faults.json"
HEAD = """\
# Faults, and what became of acknowledged commits

Written by `make docs` from what `make test-faults` saw on the lab, two real machines;
`fallbackAfterSeconds` was {limit_s} s. The ledger of acknowledged commits is kept outside both
machines, by several clients at once. A row whose promise is not kept fails the run. Rows marked
*control* do the same with the protection off, and fail the run if nothing is lost: they show that
the ledger would notice.

Last run: {ended} UTC, {rows} rows in {minutes:.0f} minutes on {cpus} CPUs, once the stack was up.

| fault | level | seen | acknowledged | lost | protected again after |
|---|---|---|---:|---:|---:|
"""


@dataclass
class Row:
    """One fault, as it went. `acknowledged` and `lost` are commits."""

    fault: str
    level: str
    seen: str = ""
    acknowledged: int = 0
    lost: int = 0
    protected_after_s: float | None = None

    def line(self) -> str:
        """The row of the table."""
        again = "-" if self.protected_after_s is None else f"{self.protected_after_s:.1f} s"
        cells = (self.fault, self.level, self.seen, self.acknowledged, self.lost, again)
        return "| " + " | ".join(str(cell) for cell in cells) + " |"


@dataclass
class Results:
    """A whole run: `ended` is a UTC time to the minute, `limit_s` the time of the fallback."""

    ended: str
    minutes: float
    cpus: int
    limit_s: int
    rows: list[Row] = field(default_factory=list)

    def store(self, file: Path = RESULTS) -> None:
        """Keep them for `load`."""
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def page(self) -> str:
        """The whole of docs/faults.md."""
        head = HEAD.format(**{**asdict(self), "rows": len(self.rows)})
        return head + "\n".join(row.line() for row in self.rows) + "\n"


def load(file: Path = RESULTS) -> Results | None:
    """What the last whole run has stored; None if there was none in this checkout."""
    if not file.exists():
        return None
    stored = json.loads(file.read_text())
    return Results(**{**stored, "rows": [Row(**row) for row in stored["rows"]]})


def main() -> None:
    """Write the page, or leave it if there is nothing to write it from."""
    if found := load():
        TARGET.write_text(found.page())


if __name__ == "__main__":
    main()
