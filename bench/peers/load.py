"""The pgbench that runs beside everything, and what its transactions took meanwhile."""

import math
from collections.abc import Iterable

from bench.peers.machines import BINARIES, FOLDER, POSTGRES, Machines

_UNIT, _FOLDER, _DATABASE = "bench-load", f"{FOLDER}/load", "bench_load"
SCALE, RATE, CLIENTS = 5, 100, 4
# Ended by closing its connections, for a pgbench that gets a signal loses what it has not logged.
_END = f"""
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{_DATABASE}';
"""  # noqa: S608 - a name of this file
Transaction = tuple[float, float]


def prepare(machines: Machines) -> None:
    """The database that it works on."""
    machines.sql(f"CREATE DATABASE {_DATABASE}")
    machines.pgbench_initialize(_DATABASE, SCALE)


def start(machines: Machines) -> None:
    """Begin, with an empty log. It goes on until `stop`."""
    machines.run(
        POSTGRES,
        f"rm -rf {_FOLDER} && install -d -o postgres {_FOLDER}\n"
        f"systemctl reset-failed {_UNIT} 2>/dev/null || true\n"
        f"systemd-run --quiet --unit={_UNIT} --uid=postgres --working-directory={_FOLDER} "
        f"{BINARIES}/pgbench --no-vacuum --builtin=simple-update --rate={RATE} "
        f"--client={CLIENTS} --jobs=2 --time=86400 --log {_DATABASE}",
    )


def stop(machines: Machines) -> list[Transaction]:
    """End it: when each transaction ended, in seconds since 1970, and the milliseconds that it
    took. Raises RuntimeError if it had ended by itself, for then nobody was there to be slowed."""
    if machines.run(POSTGRES, f"systemctl is-active {_UNIT} || true").strip() != "active":
        raise RuntimeError(machines.run(POSTGRES, f"journalctl -n 20 -u {_UNIT}"))
    machines.sql(_END)
    machines.run(POSTGRES, f"while systemctl is-active --quiet {_UNIT}; do sleep 0.1; done")
    return parse(machines.run(POSTGRES, f"cat {_FOLDER}/pgbench_log.*"))


def parse(log: str) -> list[Transaction]:
    """The lines of pgbench's log: client, transaction, microseconds since it was due, script, and
    its end in seconds and microseconds. Lines of anything else, such as what was skipped, are
    left out."""
    found = []
    for line in log.splitlines():
        words = line.split()
        if len(words) >= 6 and words[2].isdigit():
            found.append((int(words[4]) + int(words[5]) / 1e6, int(words[2]) / 1e3))
    return found


def percentiles(
    transactions: Iterable[Transaction], begin: float, end: float
) -> tuple[float, float] | None:
    """p50 and p99, in milliseconds, of those that ended between the two moments; None if none
    did."""
    took = sorted(milliseconds for at, milliseconds in transactions if begin <= at <= end)
    if not took:
        return None
    return _nearest_rank(took, 0.5), _nearest_rank(took, 0.99)


def _nearest_rank(ordered: list[float], share: float) -> float:
    return ordered[math.ceil(share * len(ordered)) - 1]
