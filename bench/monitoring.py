"""What watching costs at rest: CPU and memory of every service that does, on both machines.

usage: python -m bench.monitoring [SECONDS]     (default 300; the lab must be up)

Reads the kernel's own account of each service's process and of the children it has waited for, at
the beginning and at the end. CPU is per cent of one processor.
"""

import json
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lab.machines import machine
from lab.names import Lab

ROOT = Path(__file__).resolve().parents[1]
SERVICES = {
    "barman-lab": (
        "prometheus",
        "prometheus-alertmanager",
        "prometheus-node-exporter",
        "barman-exporter",
    ),
    "postgres-lab": ("prometheus-node-exporter", "prometheus-postgres-exporter"),
}
# Inside the machine: /proc is its own there.
_PROBE = """
import json, os, subprocess, sys, time
tick = os.sysconf("SC_CLK_TCK")
def account(unit):
    show = ["systemctl", "show", "--value", "--property=MainPID", unit]
    pid = subprocess.run(show, capture_output=True, text=True, check=True).stdout.strip()
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    memory = dict(line.split(":") for line in open(f"/proc/{pid}/status") if line.startswith("Vm"))
    return sum(map(int, fields[11:15])) / tick, int(memory["VmRSS"].split()[0]) * 1024
seconds, units = float(sys.argv[1]), sys.argv[2:]
before = {unit: account(unit) for unit in units}
time.sleep(seconds)
after = {unit: account(unit) for unit in units}
print(json.dumps({
    unit: {"cpu_percent": 100 * (after[unit][0] - before[unit][0]) / seconds,
           "rss_bytes": after[unit][1]}
    for unit in units
}))
"""


def measure(lab: Lab, name: str, seconds: float) -> dict[str, dict[str, float]]:
    """Service -> {cpu_percent, rss_bytes} of the machine `name` over `seconds`."""
    argv = ["python3", "-c", _PROBE, str(seconds), *SERVICES[name]]
    done = machine.execute(lab, name, argv, timeout=seconds + 60)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 300.0
    lab = Lab.of(ROOT / ".lab", "lab")
    table = Table(title=f"Monitoring at rest, over {seconds:.0f} s")
    for column in ("machine", "service", "CPU, % of one", "memory, MiB"):
        table.add_column(column, justify="left" if column in ("machine", "service") else "right")
    for name in SERVICES:
        found = measure(lab, name, seconds)
        total = {
            key: sum(cost[key] for cost in found.values()) for key in ("cpu_percent", "rss_bytes")
        }
        for service, cost in [*found.items(), ("all of them", total)]:
            table.add_row(
                name, service, f"{cost['cpu_percent']:.2f}", f"{cost['rss_bytes'] / 2**20:.0f}"
            )
    Console().print(table)


if __name__ == "__main__":
    main()
