"""`make bench`: every measurement, as tables."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import restore, stand_up

ROOT = Path(__file__).resolve().parents[1]
# A title, and rows of what was done with its seconds.
Measured = tuple[str, list[tuple[str, float]]]


def main() -> None:
    console = Console()
    for measure in (stand_up.measure, restore.measure):
        load = os.getloadavg()[0]
        title, rows = on_a_copy(measure)
        table = Table(title=f"{title} ({os.cpu_count()} CPUs, load {load:.1f} at the start)")
        table.add_column("what")
        table.add_column("seconds", justify="right")
        for what, seconds in rows:
            table.add_row(what, f"{seconds:.1f}")
        console.print(table)


def on_a_copy(measure: Callable[[Path], Measured]) -> Measured:
    """What `measure` says of this checkout's last commit, in a copy with a lab of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        checkout = Path(scratch) / "checkout"
        subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
        (checkout / ".venv").symlink_to(ROOT / ".venv")
        try:
            return measure(checkout)
        finally:
            shutil.rmtree(checkout, ignore_errors=True)


if __name__ == "__main__":
    main()
