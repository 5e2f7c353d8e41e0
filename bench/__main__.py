"""`make bench`: every measurement, as tables."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import stand_up

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    console = Console()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        checkout = Path(scratch) / "checkout"
        subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
        (checkout / ".venv").symlink_to(ROOT / ".venv")
        try:
            rows = stand_up.measure(checkout)
        finally:
            shutil.rmtree(checkout, ignore_errors=True)
    title = f"Standing the stack up: {os.cpu_count()} CPUs, load {load:.1f} at the start"
    table = Table(title=title)
    table.add_column("what")
    table.add_column("seconds", justify="right")
    for what, seconds in rows:
        table.add_row(what, f"{seconds:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
