"""What Prometheus is told of a source that is followed: a slot that nobody reads from fills the
source's disk, and nobody there knows why. Runs as a unit for as long as the move goes on."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ops.onmachine.migration import following
from ops.onmachine.migration.job import Job

PERIOD_S = 30.0
_FILE = "migration.prom"
_METRICS = {
    "migration_followed": "Whether a database at the source is followed.",
    "migration_lag_bytes": "What the source has written and this server does not have yet.",
    "migration_retained_bytes": "WAL that the source retains for the move.",
    "migration_safe_bytes": "What may be written at the source before the slot is lost.",
    "migration_changed": "Tables, views and sequences that DDL has changed at the source.",
}


def main(documents: list[dict[str, Any]], textfiles: str) -> None:
    """`textfiles` is the folder of the node exporter's textfile collector."""
    jobs = [Job(**each) for each in documents]
    while True:
        text = rendered([following.look(job) for job in jobs])
        fresh = Path(textfiles, f"{_FILE}.new")
        # The folder goes and comes with the guard's unit.
        with suppress(OSError):
            fresh.write_text(text)
            fresh.rename(Path(textfiles, _FILE))
        time.sleep(PERIOD_S)


def rendered(found: list[dict[str, Any]]) -> str:
    """The page of the textfile collector. What could not be asked has no sample, but is not
    followed either."""
    lines = []
    for name, meaning in _METRICS.items():
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
        for each in found:
            value = _value(name, each)
            if value is not None:
                database = str(each["database"]).replace("\\", "\\\\").replace('"', '\\"')
                lines.append(f'{name}{{database="{database}"}} {value}')
    return "\n".join(lines) + "\n"


def _value(name: str, each: dict[str, Any]) -> int | None:
    if name == "migration_followed":
        return int(all(each.get(key) for key in ("enabled", "running", "active")))
    if name == "migration_changed":
        return None if each["error"] else len(each["changed"])
    keys = {
        "migration_lag_bytes": "lag_bytes",
        "migration_retained_bytes": "retained_bytes",
        "migration_safe_bytes": "safe_wal_bytes",
    }
    return each.get(keys[name])
