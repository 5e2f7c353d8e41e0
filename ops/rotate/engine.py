"""Pulumi at work for a rotation: the marks that it holds, and one update after the other."""

import json
import os
import subprocess
from pathlib import Path
from typing import IO

from engine import project
from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import outputs
from ops.rotate.plan import Rotation

_SETTING = "rotations"


class Engine:
    """Pulumi for one stack, or for the selected one. What an update prints goes to `words_to`, else
    to standard output."""

    def __init__(
        self,
        stack: str | None,
        words_to: IO[str] | None = None,
        directory: Path = outputs.PROJECT,
    ) -> None:
        self._stack = stack
        self._words_to = words_to
        self._directory = directory
        self._around = outputs.lab_environment(stack, os.environ) or dict(os.environ)
        self._option = ["--stack", stack] if stack else []

    def configured(self) -> dict[str, str]:
        """The marks in the stack's configuration. Raises OperatorError."""
        done = self._ask("config", "--json")
        for key, item in json.loads(done.stdout).items():
            if key.partition(":")[2] == _SETTING:
                return item.get("objectValue") or json.loads(item["value"])
        return {}

    def require_nothing_pending(self) -> None:
        """Raises OperatorError when an update would do more than rotate."""
        done = self._ask(
            "preview", "--expect-no-changes", "--suppress-outputs", "--diff", check=False
        )
        if done.returncode:
            raise OperatorError(
                "The stack is not what its program and its settings ask for, so an update would "
                f"do more than rotate:\n{_end(done)}",
                NOTHING_CHANGED,
                next_command="pulumi up   (then this command again)",
            )

    def update(self, rotation: Rotation, setting: str) -> None:
        """Set one mark and run `pulumi up` on this terminal. Raises OperatorError."""
        try:
            self._ask("config", "set", "--path", f"{_SETTING}.{setting}", rotation.mark)
        except OperatorError as error:
            raise OperatorError(
                error.happened,
                f"The setting {setting} was not changed; updates that this rotation has already "
                "run stay.",
                error.next_command,
            ) from None
        arguments = ["up", "--yes", "--skip-preview", "--non-interactive", "--suppress-outputs"]
        code = project.run(
            [*arguments, *self._option], self._directory, self._around, self._words_to
        )
        if code:
            raise OperatorError(
                f"pulumi up ended with exit code {code}; its own output is above.",
                f"The rotation is unfinished: one machine may have new secrets that the other "
                f"lacks. {_MEANWHILE[rotation.kind]}",
                f"python -m ops rotate {rotation.kind}   (goes on with this rotation; if pulumi "
                "says that the stack is locked and no pulumi is at work: pulumi cancel, first)",
            )

    def _ask(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        try:
            done = subprocess.run(
                ["pulumi", *arguments, "--non-interactive", *self._option],
                cwd=self._directory,
                env=self._around,
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except FileNotFoundError:
            raise OperatorError(
                "pulumi is not on PATH.",
                "That pulumi command was not run.",
                next_command="make shell   (for a lab), or install Pulumi",
            ) from None
        if check and done.returncode:
            raise outputs.explain(done.stderr, self._stack)
        return done


_MEANWHILE = {
    "password": "Open sessions and Barman's receiver go on.",
    "ssh": "The operator is let in.",
    "tls": "PostgreSQL goes on with a valid certificate.",
}


def _end(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
