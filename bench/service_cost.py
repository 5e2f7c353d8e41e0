"""What services cost a machine: sent there by bench.monitoring, which /proc is to be read in.

usage: python3 - SECONDS SERVICE…     Prints service -> {cpu_percent, rss_bytes} as JSON.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple


class Account(NamedTuple):
    """A service's process so far, the children that it has waited for included."""

    cpu_s: float
    rss_bytes: int


def account(unit: str) -> Account:
    """The account of the service's main process. Raises CalledProcessError, OSError."""
    show = ["systemctl", "show", "--value", "--property=MainPID", unit]
    pid = subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()
    process = Path("/proc", pid)
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    lines = (process / "status").read_text().splitlines()
    memory = dict(line.split(":") for line in lines if line.startswith("Vm"))
    ticks = sum(map(int, fields[11:15]))
    return Account(ticks / os.sysconf("SC_CLK_TCK"), int(memory["VmRSS"].split()[0]) * 1024)


def main(seconds: float, units: list[str]) -> None:
    """Look, wait, look again."""
    before = {unit: account(unit) for unit in units}
    time.sleep(seconds)
    after = {unit: account(unit) for unit in units}
    cost = {
        unit: {
            "cpu_percent": 100 * (after[unit].cpu_s - before[unit].cpu_s) / seconds,
            "rss_bytes": after[unit].rss_bytes,
        }
        for unit in units
    }
    print(json.dumps(cost))


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
