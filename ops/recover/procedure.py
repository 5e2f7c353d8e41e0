"""Recovery in place, undo and rejoin: the order of their steps."""

from collections.abc import Mapping
from typing import Any

from ops.recover import passwords, receiver, rejoin, replay, restore, swap, undo, verify
from ops.runbook.steps import Step


def recovery(*, while_serving: bool) -> list[Step]:
    """What is brought back is checked beside the old server's files before it takes their place.
    The old server is stopped first, so that all its WAL is there; or, `while_serving`, at the
    end."""
    bring_back = (
        Step("restore", "Restore the backup", restore.restore, restore.undo_restore),
        Step("replay", "Replay WAL to the target", replay.replay, replay.undo_replay),
        Step("verify", "Verify", verify.verify),
        Step("passwords", "Set the stack's passwords", passwords.restore),
        swap.REHEARSAL,
    )
    if while_serving:
        return [*bring_back, *receiver.HOLD_STILL, *swap.STEPS]
    return [*receiver.HOLD_STILL, *bring_back, *swap.STEPS]


def procedure(kind: str, options: Mapping[str, Any] | None = None) -> list[Step]:
    """The steps of a kind of run with these options, as its journal has both."""
    if kind == "recover":
        while_serving = bool((options or {}).get("while_serving"))
        return recovery(while_serving=while_serving) + rejoin.steps()
    return {"undo": undo.steps, "rejoin": rejoin.alone}[kind]()
