"""Local snapshots: whether a recovery and a clone that begin with one take the same time for a
small and a large database, and what taking one costs whoever writes meanwhile.

Works on a stack of its own that it stands up and removes.
"""

import subprocess
import time
from pathlib import Path
from statistics import median

from bench.durability import PGBENCH, rate
from bench.restore import POSTGRES, lab, newest, on, ops, psql, recovery

# Bytes of data; what is written after the snapshot is the same for each.
SMALL, LARGE = 2**29, 2**32
FILL = """
CREATE TABLE IF NOT EXISTS bench (payload text);
ALTER TABLE bench ALTER payload SET STORAGE EXTERNAL;
COPY bench FROM PROGRAM 'head -c %d /dev/urandom | base64 -w 1000';
CHECKPOINT;
"""
SCALE, TRANSACTIONS = "10", "2000"
ROUNDS, SECONDS = 5, 20
COLUMNS = ("what", "0.5 GiB", "4 GiB", "4 GiB / 0.5 GiB")
TITLE = "Seconds from the command on; recoveries until clients are let in"
CLONE = "clone from a local snapshot"
RECOVERY = "recovery from a local snapshot"
POSITION = (
    *("runuser", "-u", "postgres", "--"),
    *("psql", "-XAtc", "SELECT pg_current_wal_insert_lsn()"),
)
Row = tuple[str, ...]


def measure(checkout: Path) -> list[Row]:
    """Rows of the table. Raises CalledProcessError."""
    try:
        lab(checkout, "up")
        pgbench(checkout, "--initialize", "--quiet", f"--scale={SCALE}")
        psql(checkout, FILL % (SMALL * 3 // 4))
        small = of_size(checkout)
        psql(checkout, FILL % ((LARGE - SMALL) * 3 // 4))
        large = of_size(checkout)
        cost = writers(checkout)
    finally:
        lab(checkout, "down", "--yes-delete-data")
    rows = [
        (what, f"{took:.1f}", f"{large[what]:.1f}", f"{large[what] / took:.2f}")
        for what, took in small.items()
    ]
    with_one = f"{median(cost):.2f} ({min(cost):.2f}-{max(cost):.2f})"
    share = f"pgbench, 8 clients, {SECONDS} s in which one is taken: of the rate without"
    return [*rows, (share, "", with_one, "")]


def of_size(checkout: Path) -> dict[str, float]:
    """Seconds by what was done with the database as it is."""
    ops(checkout, "backup", "--wait")
    backup = newest(checkout)["id"]
    found = {"ops snapshot": timed(checkout, "snapshot")}
    pgbench(checkout, "--builtin=simple-update", "--client=8", f"--transactions={TRANSACTIONS}")
    psql(checkout, "SELECT pg_switch_wal()")
    for what, words in (
        (CLONE, ()),
        ("clone from Barman's backup", ("--backup-id", backup)),
    ):
        at = on(checkout, POSTGRES, *POSITION).strip()
        psql(checkout, "SELECT pg_switch_wal()")
        time.sleep(2)
        found[what] = timed(checkout, "clone", "--target-lsn", at, *words)
        ops(checkout, "clone", "--drop")
    _, accepting, _ = recovery(checkout, "--target-lsn", at)
    found[RECOVERY] = accepting
    return found


def writers(checkout: Path) -> list[float]:
    """The rate of writers while a snapshot is taken over the one without, a value a round."""
    found = []
    for _ in range(ROUNDS):
        without = writing(checkout)
        with subprocess.Popen(
            [".venv/bin/python", "-m", "ops", "snapshot"], cwd=checkout, stdout=subprocess.DEVNULL
        ):
            found.append(writing(checkout) / without)
    return found


def writing(checkout: Path) -> float:
    return rate(pgbench(checkout, "--builtin=simple-update", "--client=8", f"--time={SECONDS}"))


def pgbench(checkout: Path, *options: str) -> str:
    return on(checkout, POSTGRES, "runuser", "-u", "postgres", "--", PGBENCH, *options, "app")


def timed(checkout: Path, *words: str) -> float:
    began = time.monotonic()
    ops(checkout, *words)
    return time.monotonic() - began
