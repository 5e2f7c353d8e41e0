"""The one error the operator sees: what happened, what it left behind, what to type next."""

from dataclasses import dataclass


@dataclass
class OperatorError(Exception):
    """`happened` and `state` are sentences; `next_command` is one line to type.

    `state` says what was or was not changed.
    """

    happened: str
    state: str = "Nothing was changed."
    next_command: str | None = None

    def __str__(self) -> str:
        lines = [self.happened, self.state]
        if self.next_command:
            lines.append(f"Next: {self.next_command}")
        return "\n".join(line for line in lines if line)
