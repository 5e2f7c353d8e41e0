"""Where a commit that waits for Barman spends its time, and what becomes of commits while a backup,
a verification and a drill are at work.

Works on a stack of its own that it stands up and removes.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.durability import PGBENCH, rate
from bench.peers import load
from bench.peers.machines import BARMAN, POSTGRES, Machines
from bench.restore import lab, psql

DATA_BYTES = 2**30
# Random bytes as text: a compressor gets a quarter.
FILL = f"""
CREATE TABLE bench (payload text);
ALTER TABLE bench ALTER payload SET STORAGE EXTERNAL;
COPY bench FROM PROGRAM 'head -c {DATA_BYTES * 3 // 4} /dev/urandom | base64 -w 1000';
CHECKPOINT;
"""
# By synchronous_commit: each waits for one thing more than the one before.
WAITS = {"off": "for nothing", "local": "for its own disk", "on": "for Barman's disk as well"}
ROUNDS, SECONDS, QUIET_S = 3, 8, 20.0
TITLE = f"Commits: of one client, and of {load.RATE} a second beside what Barman does"
COLUMNS = ("what", "p50 or mean, ms", "p99, ms", "p99, of alone")
Row = tuple[str, ...]


def measure(checkout: Path) -> list[Row]:
    """Rows of the table. Raises Failed or CalledProcessError."""
    try:
        lab(checkout, "up")
        machines = Machines(checkout)
        load.prepare(machines)
        rows = [
            (f"one client whose commits wait {WAITS[level]}", f"{median(seen):.2f}", "", "")
            for level, seen in alone_by_level(machines).items()
        ]
        psql(checkout, FILL)
        machines.ops("backup", "--wait")
        return rows + beside(machines)
    finally:
        lab(checkout, "down", "--yes-delete-data")


def alone_by_level(machines: Machines) -> dict[str, list[float]]:
    """The mean milliseconds of a transaction, a value a round."""
    found: dict[str, list[float]] = {level: [] for level in WAITS}
    for _ in range(ROUNDS):
        for level, seen in found.items():
            said = machines.as_own_user(
                POSTGRES,
                f"PGOPTIONS='-c synchronous_commit={level}' {PGBENCH} --no-vacuum "
                f"--builtin=simple-update --client=1 --time={SECONDS} bench_load",
            )
            seen.append(1000 / rate(said))
    return found


def beside(machines: Machines) -> list[Row]:
    """What a steady load met while each of them was at work, and between them."""
    work: dict[str, Callable[[], object]] = {
        "a backup": lambda: machines.ops("backup", "--wait"),
        "a verification": lambda: machines.ops("verify"),
        "a drill": lambda: machines.run(BARMAN, "systemctl start restore-drill"),
    }
    spans: dict[str, list[tuple[float, float]]] = {"nothing": []}
    load.start(machines)
    for _ in range(ROUNDS):
        for what, begin in work.items():
            spans["nothing"].append(during(lambda: time.sleep(QUIET_S)))
            spans.setdefault(what, []).append(during(begin))
    seen = load.stop(machines)
    figures = {what: between(seen, each) for what, each in spans.items()}
    _, quiet = figures["nothing"]
    return [
        (f"beside {what}", f"{p50:.1f}", f"{p99:.1f}", f"{p99 / quiet:.2f}")
        for what, (p50, p99) in figures.items()
    ]


def during(work: Callable[[], object]) -> tuple[float, float]:
    """From when to when it was at work, in seconds since 1970."""
    began = time.time()
    work()
    return began, time.time()


def between(seen: list[load.Transaction], spans: list[tuple[float, float]]) -> tuple[float, float]:
    """p50 and p99 of the transactions in any of these spans. Raises ValueError where none is."""
    inside = [each for each in seen if any(begin <= each[0] <= end for begin, end in spans)]
    found = load.percentiles(inside, 0, time.time())
    if found is None:
        raise ValueError("no transaction ended meanwhile")
    return found
