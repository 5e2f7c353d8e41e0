"""What commands share: the connection, the answer, the question."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console

from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import outputs
from ops.reach.ssh import Site, connect

# A name may have :x: in it, which is not meant as a picture.
console = Console(emoji=False)
Found = TypeVar("Found", bound=BaseModel)


@contextmanager
def site_of(stack: str | None) -> Iterator[Site]:
    """Both machines of the stack, connected."""
    with connect(outputs.read(stack)) as site:
        yield site


def answer(found: Found, as_json: bool, show: Callable[[Found, Console], None]) -> None:
    """Print what was found: as JSON, or as `show` does for people."""
    if as_json:
        document(found)
    else:
        show(found, console)


def document(found: BaseModel) -> None:
    """Print what was found as JSON."""
    print(found.model_dump_json(indent=2))


def ask(question: str, yes: bool, *, on_stderr: bool = False) -> None:
    """Go on only with a yes. Raises OperatorError."""
    if not yes and not typer.confirm(question, err=on_stderr):
        raise OperatorError("Not confirmed.", NOTHING_CHANGED)
