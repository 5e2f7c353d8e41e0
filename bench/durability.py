"""What waiting for Barman costs: transactions per second at each level of durability, and the CPU
that the guard takes meanwhile.

One stack; the guard gets another level and is restarted, as `pulumi up` does it. Levels take
turns in every round, so that whatever else this machine does meets all of them; ratios are taken
within a round.
"""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.stand_up import timed
from lab.machines import machine
from lab.names import Lab

LEVELS = ("async", "sync", "sync-with-fallback")
CLIENTS = (1, 8, 32, 64)
ROUNDS = 3
SECONDS = 5
TITLE = f"Transactions per second by durability, median and range of {ROUNDS} rounds"
COLUMNS = ("clients", "async", "sync", "of async", "sync-with-fallback", "of async")
# Rows enough that 64 clients seldom meet on one; `simple-update` has no branch to queue for.
SCALE = 20
PGBENCH = "/usr/lib/postgresql/17/bin/pgbench"
POSTGRES = "postgres-lab"
GUARD = "/etc/durability-guard.json"
SWITCH_TIMEOUT_S = 60
_TPS = re.compile(r"^tps = ([\d.]+)", re.MULTILINE)


@dataclass
class Measured:
    """Transactions per second by (level, clients), a value a round, and CPU by level: the guard's
    share of one CPU, in percent."""

    tps: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    guard_percent: dict[str, list[float]] = field(default_factory=dict)

    def ratios(self, level: str, clients: int) -> list[float]:
        """`level` over async, round by round."""
        pairs = zip(self.tps[level, clients], self.tps["async", clients], strict=True)
        return [there / plain for there, plain in pairs]

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Lines of the table: clients, async, then rate and ratio of each other level."""
        for clients in CLIENTS:
            row = [str(clients), spread(self.tps["async", clients], 0)]
            for level in LEVELS[1:]:
                row += [
                    spread(self.tps[level, clients], 0),
                    spread(self.ratios(level, clients), 2),
                ]
            yield tuple(row)
        shares = [spread(self.guard_percent[level], 2) for level in LEVELS]
        yield ("guard, % of a CPU", shares[0], shares[1], "", shares[2], "")


def spread(values: list[float], digits: int) -> str:
    """The median, and what it lies between."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def measure(checkout: Path) -> Measured:
    """Stand a stack up, measure, take it down. Raises CalledProcessError or LabError."""
    found = Measured()
    try:
        timed(checkout, "up")
        lab = Lab.of(checkout / ".lab", "lab")
        _pgbench(lab, "--initialize", "--quiet", f"--scale={SCALE}")
        for _ in range(ROUNDS):
            for level in LEVELS:
                _switch(lab, level)
                began, used = time.monotonic(), _guard_seconds(lab)
                for clients in CLIENTS:
                    found.tps.setdefault((level, clients), []).append(_rate(lab, clients))
                spent = _guard_seconds(lab) - used
                share = 100 * spent / (time.monotonic() - began)
                found.guard_percent.setdefault(level, []).append(share)
    finally:
        timed(checkout, "down", "--yes-delete-data")
    return found


def _rate(lab: Lab, clients: int) -> float:
    said = _pgbench(
        lab,
        "--builtin=simple-update",
        "--no-vacuum",
        f"--time={SECONDS}",
        f"--client={clients}",
        f"--jobs={min(clients, 2)}",
    )
    return rate(said)


def rate(said: str) -> float:
    """Transactions per second, out of what pgbench says. Raises ValueError where it says none."""
    found = _TPS.search(said)
    if found is None:
        raise ValueError(f"pgbench says no rate: {said}")
    return float(found[1])


def _pgbench(lab: Lab, *words: str) -> str:
    argv = ["runuser", "-u", "postgres", "--", PGBENCH, *words, "app"]
    return machine.execute(lab, POSTGRES, argv, timeout=600).stdout


def _switch(lab: Lab, level: str) -> None:
    """Give the guard its level, and wait until commits wait as they then should."""
    configuration = json.loads(machine.execute(lab, POSTGRES, ["cat", GUARD]).stdout)
    text = json.dumps(configuration | {"level": level})
    machine.execute(lab, POSTGRES, ["tee", GUARD], stdin=text)
    machine.execute(lab, POSTGRES, ["systemctl", "restart", "durability-guard"])
    wanted = "async" if level == "async" else "sync"
    query = "SELECT sync_state FROM pg_stat_replication"
    psql = ["runuser", "-u", "postgres", "--", "psql", "-XAtc", query]
    deadline = time.monotonic() + SWITCH_TIMEOUT_S
    while machine.execute(lab, POSTGRES, psql).stdout.strip() != wanted:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{level} was not reached within {SWITCH_TIMEOUT_S} s")
        time.sleep(0.2)


def _guard_seconds(lab: Lab) -> float:
    """CPU time that the guard's unit has used since it was started."""
    argv = ["systemctl", "show", "--value", "--property=CPUUsageNSec", "durability-guard"]
    return int(machine.execute(lab, POSTGRES, argv).stdout) / 1e9
