"""`make bench`: every measurement, as tables; `python -m bench NAME` takes one of them."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.table import Table

from bench import again, durability, move, pooler, restore, snapshots, stand_up, write_path

ROOT = Path(__file__).resolve().parents[1]
Result = TypeVar("Result")


def main() -> None:
    chosen = sys.argv[1:] or list(MEASUREMENTS)
    if unknown := set(chosen) - set(MEASUREMENTS):
        sys.exit(f"no such measurement: {', '.join(unknown)}; there are {', '.join(MEASUREMENTS)}")
    # Where there is no terminal, rich would cut every line at 80 columns.
    console = Console(width=None if sys.stdout.isatty() else 140)
    for name in chosen:
        console.print(MEASUREMENTS[name]())


def figures(
    title: str, columns: tuple[str, ...], measure: Callable[[Path], Iterable[tuple[str, ...]]]
) -> Table:
    """The table of a measurement that has columns of its own."""
    load = os.getloadavg()[0]
    return table(title, load, columns, on_a_copy(measure))


def timings(measure: Callable[[Path], tuple[str, list[tuple[str, float]]]]) -> Table:
    """The table of a measurement that tells how many seconds what took."""
    load = os.getloadavg()[0]
    title, rows = on_a_copy(measure)
    return table(title, load, ("what", "seconds"), ((what, f"{took:.2f}") for what, took in rows))


MEASUREMENTS: dict[str, Callable[[], Table]] = {
    "stand-up": partial(timings, stand_up.measure),
    "again": partial(timings, again.measure),
    "restore": partial(timings, restore.measure),
    "move": partial(timings, move.measure),
    "durability": partial(
        figures,
        durability.TITLE,
        durability.COLUMNS,
        lambda checkout: durability.measure(checkout).rows(),
    ),
    "pooler": partial(figures, pooler.TITLE, pooler.COLUMNS, pooler.measure),
    "snapshots": partial(figures, snapshots.TITLE, snapshots.COLUMNS, snapshots.measure),
    "write-path": partial(figures, write_path.TITLE, write_path.COLUMNS, write_path.measure),
}


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
