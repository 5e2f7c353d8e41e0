"""Pulumi at work for a rotation: the marks that it holds, and one update after the other."""

import json
import subprocess
from typing import IO

from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import engine
from ops.rotate.plan import Rotation

_SETTING = "rotations"


class Engine:
    """Pulumi for one stack, or for the selected one. What an update prints goes to `words_to`, else
    to standard output."""

    def __init__(self, stack: str | None, words_to: IO[str] | None = None) -> None:
        self._words_to = words_to
        self._pulumi = engine.of(stack)

    def configured(self) -> dict[str, str]:
        """The marks in the stack's configuration. Raises OperatorError."""
        said = engine.answer(self._pulumi.configuration, self._pulumi.stack, NOTHING_CHANGED)
        for key, item in json.loads(said).items():
            if key.partition(":")[2] == _SETTING:
                return item.get("objectValue") or json.loads(item["value"])
        return {}

    def require_nothing_pending(self) -> None:
        """Raises OperatorError when an update would do more than rotate."""
        done = self._pulumi.preview("--expect-no-changes", "--suppress-outputs", "--diff")
        if done.returncode:
            raise OperatorError(
                "The stack is not what its program and its settings ask for, so an update would "
                f"do more than rotate:\n{_end(done)}",
                NOTHING_CHANGED,
                next_command="pulumi up   (then this command again)",
            )

    def update(self, rotation: Rotation, setting: str) -> None:
        """Set one mark and run `pulumi up` on this terminal. Raises OperatorError."""
        # Without --plaintext Pulumi takes one mark in seven for a secret, by the key's name and a
        # guess at the value's strength, and refuses it.
        mark = ("--plaintext", "--path", f"{_SETTING}.{setting}", rotation.mark)
        engine.answer(
            lambda: self._pulumi.configure(*mark),
            self._pulumi.stack,
            f"The setting {setting} was not changed; updates that this rotation has already run "
            "stay.",
        )
        code = self._pulumi.up("--non-interactive", words_to=self._words_to)
        if code:
            raise OperatorError(
                f"pulumi up ended with exit code {code}; its own output is above.",
                f"The rotation is unfinished: one machine may have new secrets that the other "
                f"lacks. {_MEANWHILE[rotation.kind]}",
                f"python -m ops rotate {rotation.kind}   (goes on with this rotation; if pulumi "
                "says that the stack is locked and no pulumi is at work: pulumi cancel, first)",
            )


_MEANWHILE = {
    "password": "Open sessions and Barman's receiver go on.",
    "ssh": "The operator is let in.",
    "tls": "PostgreSQL goes on with a valid certificate.",
}


def _end(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
