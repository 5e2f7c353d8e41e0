"""How fast a recovery moves bytes, beside plain rsync between the same machines, and where the time
from the command to accepting connections goes.

Works on a stack of its own that it stands up and removes.
"""

import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

DATA_BYTES = 2 * 2**30
# What a team that recovered by hand on Azure machines of these sizes reported.
FIELD_REPORT_S_PER_GB = 30.0
# Random bytes as text: a compressor gets a quarter, like a database of real data and little air.
FILL = f"""
CREATE TABLE bench (payload text);
ALTER TABLE bench ALTER payload SET STORAGE EXTERNAL;
COPY bench FROM PROGRAM 'head -c {DATA_BYTES * 3 // 4} /dev/urandom | base64 -w 1000';
CHECKPOINT;
"""
# Barman is let in to put backups back, and only here and into the cluster.
COPY = "/data/clones/bench"
POSTGRES = "postgres-lab"
LOG = "/var/log/postgresql/postgresql-17-main.log"
# A commit after a moment, such as the marker of drills, must have come for it to be a target.
SETTLED_S = 30.0
STEP = re.compile(r"^\[\d+/\d+\] (.*)$")
Row = tuple[str, float]


def measure(checkout: Path) -> tuple[str, list[Row]]:
    """A title, and rows of what was measured with its seconds. Raises CalledProcessError."""
    try:
        lab(checkout, "up")
        psql(checkout, FILL)
        # Typed by hand, it is stored as plain files: what rsync would have to move.
        barman = ("runuser", "-u", "barman", "--", "barman")
        on(checkout, "barman-lab", *barman, "backup", "--immediate-checkpoint", "--wait", "pg")
        plain_files = newest(checkout)
        ops(checkout, "backup", "--wait")
        packed = newest(checkout)
        gigabytes = packed["restored_bytes"] / 1e9
        before = rsync(checkout, plain_files["id"])
        steps, accepting, whole = recovery(checkout)
        after = rsync(checkout, plain_files["id"])
        away = swap(checkout)
    finally:
        lab(checkout, "down", "--yes-delete-data")
    plain, restored = (before + after) / 2, steps["Restore the backup"]
    title = (
        f"Restoring {gigabytes:.2f} GB: {restored / gigabytes:.1f} s/GB, rsync of the same in "
        f"plain files {plain / gigabytes:.1f} s/GB (its {plain / restored:.2f}-fold speed); the "
        f"field report {FIELD_REPORT_S_PER_GB:.0f} s/GB"
    )
    rows = [
        ("rsync of plain files, before", before),
        ("rsync of plain files, after", after),
        ("recover: from the command to accepting connections", accepting),
        *((f"  of it {name}", seconds) for name, seconds in steps.items() if name != "whole"),
        ("recover: the whole, protected and proven", whole),
        ("recover --while-serving: clients kept away", away),
    ]
    return title, rows


def newest(checkout: Path) -> dict[str, Any]:
    """The newest backup, as `ops backups --json` has it."""
    return json.loads(ops(checkout, "backups", "--json"))["backups"][0]


def rsync(checkout: Path, backup: str) -> float:
    """Seconds for a backup in plain files, by rsync alone, and to the disk."""
    there = on(checkout, POSTGRES, "hostname", "-I").split()[0]
    source, target = f"/data/barman/pg/base/{backup}/data/", f"postgres@{there}:{COPY}/"
    owned = ["install", "-d", "-o", "postgres", "-g", "postgres", COPY.rpartition("/")[0], COPY]
    send = ["rsync", "-a", "--secluded-args", "-e", "ssh -q", source, target]
    on(checkout, POSTGRES, "rm", "-rf", COPY)
    on(checkout, POSTGRES, *owned)
    begin = time.monotonic()
    on(checkout, "barman-lab", "runuser", "-u", "barman", "--", *send)
    on(checkout, POSTGRES, "sync", "--file-system", COPY)
    seconds = time.monotonic() - begin
    on(checkout, POSTGRES, "rm", "-rf", COPY)
    return seconds


def recovery(checkout: Path, *target: str) -> tuple[dict[str, float], float, float]:
    """Seconds by step, what went before them included, up to accepting connections; those in all;
    and the whole run's."""
    begin = mark = time.monotonic()
    name, steps, accepting = "read, check, plan", {}, 0.0
    with subprocess.Popen(
        [".venv/bin/python", "-m", "ops", "recover", "--yes", *target],
        cwd=checkout,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        for line in run.stdout or ():
            found = STEP.match(line)
            if not found:
                continue
            now = time.monotonic()
            if not accepting:
                steps[name] = now - mark
                if name == "Let clients in":
                    accepting = now - begin
            name, mark = found[1], now
    if run.returncode:
        raise subprocess.CalledProcessError(run.returncode, "ops recover")
    return steps, accepting, time.monotonic() - begin


def swap(checkout: Path) -> float:
    """Seconds that a recovery to a moment a little ago keeps clients away, by PostgreSQL's own log,
    when the server goes on until the copy is checked."""
    time.sleep(SETTLED_S)
    target = datetime.now(UTC) - timedelta(seconds=SETTLED_S)
    ops(checkout, "recover", "--while-serving", "--yes", "--target-time", target.isoformat())
    log = on(checkout, POSTGRES, "cat", LOG)
    return _last(log, "ready to accept connections") - _last(log, "fast shutdown request")


def _last(log: str, message: str) -> float:
    """When PostgreSQL logged the message last, in seconds."""
    line = next(line for line in reversed(log.splitlines()) if message in line)
    return datetime.fromisoformat(" ".join(line.split()[:2])).timestamp()


def lab(checkout: Path, *words: str) -> str:
    return _said(checkout, ".venv/bin/python", "-m", "lab", *words)


def ops(checkout: Path, *words: str) -> str:
    return _said(checkout, ".venv/bin/python", "-m", "ops", *words)


def on(checkout: Path, machine: str, *argv: str) -> str:
    # Every word after the first -- is the command's, another -- too.
    return lab(checkout, "enter", "--", machine, "env", "--chdir=/", *argv)


def passfile(checkout: Path, path: str, line: str) -> None:
    """Put a password file of PostgreSQL's user, which nobody else may read, onto its machine."""
    on(checkout, POSTGRES, "install", "-o", "postgres", "-m", "600", "/dev/null", path)
    subprocess.run(
        [".venv/bin/python", "-m", "lab", "enter", "--", POSTGRES, "tee", path],
        cwd=checkout,
        input=f"{line}\n",
        text=True,
        stdout=subprocess.DEVNULL,
        check=True,
    )


def psql(checkout: Path, sql: str) -> None:
    # Nothing of this is to be kept by Barman before the backup is.
    words = ["psql", "-X", "-q", "-d", "app", "-c", f"SET synchronous_commit = local; {sql}"]
    on(checkout, POSTGRES, "runuser", "-u", "postgres", "--", *words)


def _said(checkout: Path, *argv: str) -> str:
    done = subprocess.run(argv, cwd=checkout, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
    done.check_returncode()
    return done.stdout
