"""`make bench`: every measurement, as tables."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from bench import durability, restore, stand_up

ROOT = Path(__file__).resolve().parents[1]
Result = TypeVar("Result")


def main() -> None:
    console = Console()
    for measure in (stand_up.measure, restore.measure):
        load = os.getloadavg()[0]
        title, rows = on_a_copy(measure)
        timings = ((what, f"{seconds:.1f}") for what, seconds in rows)
        console.print(table(title, load, ("what", "seconds"), timings))
    load = os.getloadavg()[0]
    rates = on_a_copy(durability.measure)
    console.print(table(durability.TITLE, load, durability.COLUMNS, rates.rows()))


def on_a_copy(measure: Callable[[Path], Result]) -> Result:
    """What `measure` says of this checkout's last commit, in a copy with a lab of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        checkout = Path(scratch) / "checkout"
        subprocess.run(["git", "clone", "--quiet", ROOT, checkout], check=True)
        (checkout / ".venv").symlink_to(ROOT / ".venv")
        try:
            return measure(checkout)
        finally:
            shutil.rmtree(checkout, ignore_errors=True)


def table(
    title: str, load: float, columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]
) -> Table:
    """A table whose first column names the row; `load` is the machine's at the start."""
    made = Table(title=f"{title} ({os.cpu_count()} CPUs, load {load:.1f} at the start)")
    for number, name in enumerate(columns):
        made.add_column(name, justify="right" if number else "left")
    for row in rows:
        made.add_row(*row)
    return made


if __name__ == "__main__":
    main()
