"""Shows what a long command is doing: one line a step, live on a terminal, plain in a log."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.markup import escape

Echo = Callable[[str], None]

_LOG_SECONDS = 10.0  # a log wants a sign of life, not every line
_WORTH_SAYING = 0.5


class Progress:
    """Writes steps to one console (stderr, so that stdout stays free for answers)."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Echo]:
        """Show `title` while the block runs; the block is given a function for finer news."""
        started = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(escape(title)) as status:

                def live(news: str) -> None:
                    status.update(f"{escape(title)}: {escape(news)}")

                yield live
        else:
            said = [started]

            def logged(news: str) -> None:
                if time.monotonic() - said[0] >= _LOG_SECONDS:
                    said[0] = time.monotonic()
                    self.console.print(f"  {title}: {news}", markup=False, highlight=False)

            yield logged
        took = time.monotonic() - started
        if took >= _WORTH_SAYING:
            self.say(f"{title}: ready after {took:.0f} s")

    def say(self, text: str) -> None:
        """Print a line as it is."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)
