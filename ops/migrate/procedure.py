"""The kinds of runs that a move consists of, and their steps."""

from collections.abc import Mapping
from typing import Any

from ops.migrate import copying
from ops.migrate.move import Move
from ops.runbook.steps import Step

COPY = "migrate copy"


def procedure(kind: str, options: Mapping[str, Any]) -> list[Step]:
    """The steps of a kind of run with these options, as its journal has both."""
    move = Move.model_validate(options["move"])
    return {COPY: copying.steps}[kind](move)
