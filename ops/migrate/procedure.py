"""The kinds of runs that a move consists of, and their steps."""

from collections.abc import Mapping
from typing import Any

from ops.migrate import copying, following, returning
from ops.migrate.move import Move
from ops.runbook.steps import Step

COPY, FOLLOW = "migrate copy", "migrate follow"
CUTOVER, ABORT = "migrate cutover", "migrate abort"
BACK, END = "migrate back", "migrate end"
_STEPS = {
    COPY: copying.steps,
    FOLLOW: copying.steps,
    CUTOVER: following.cutover_steps,
    ABORT: following.abort_steps,
    BACK: returning.back_steps,
    END: returning.end_steps,
}


def procedure(kind: str, options: Mapping[str, Any]) -> list[Step]:
    """The steps of a kind of run with these options, as its journal has both."""
    return _STEPS[kind](Move.model_validate(options["move"]))
