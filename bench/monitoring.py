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
PROBE = Path(__file__).with_name("service_cost.py")


def measure(lab: Lab, name: str, seconds: float) -> dict[str, dict[str, float]]:
    """Service -> {cpu_percent, rss_bytes} of the machine `name` over `seconds`."""
    argv = ["python3", "-", str(seconds), *SERVICES[name]]
    probe = PROBE.read_text()
    done = machine.execute(lab, name, argv, stdin=probe, timeout=seconds + 60)
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
