"""How far a long step has come: a bar on a terminal, a line now and then elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from ops.screen import size, span

# Measuring costs something on the machine, and a line stays on the screen.
BAR_EVERY_S, LINE_EVERY_S = 2.0, 10.0


@contextmanager
def watched(
    console: Console, total: int, measure: Callable[[], int | None]
) -> Iterator[Callable[[float], None]]:
    """Gives the function to call, as often as one likes, with the seconds since the beginning.

    `measure` says how many bytes of `total` are done, None while that is not known.
    """
    bar = Progress(
        TextColumn("     "),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("", total=total)
    every = BAR_EVERY_S if console.is_terminal else LINE_EVERY_S
    shown = 0.0

    def tick(seconds: float) -> None:
        nonlocal shown
        if seconds - shown < every:
            return
        shown = seconds
        done = measure()
        if done is None:
            return
        bar.update(task, completed=done)
        if not console.is_terminal:
            left = f"{span(seconds * (total - done) / done)} left" if 0 < done < total else ""
            text = f"      {size(done)} of {size(total)}{', ' if left else ''}{left}"
            console.print(text, style="dim", markup=False, highlight=False)

    with bar:
        yield tick
