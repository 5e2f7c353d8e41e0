"""What can go wrong in a runbook. Each has a text that an operator can act on:

    OpsError
    ├── OperatorError     what happened, what was and was not changed, what to type next
    ├── CommandFailed     a command on a machine ended with an unexpected exit code
    └── ConnectionLost    the connection broke; the command may still be running

The last two are defined in ops/reach/ssh.py, which raises them.
"""

from dataclasses import dataclass

NOTHING_CHANGED = "Nothing was changed."


class OpsError(Exception):
    """Whatever ends a runbook with a message instead of a traceback."""


@dataclass
class OperatorError(OpsError):
    """`happened` and `state` are sentences; `next_command` is one line to type.

    `state` says what was and was not changed. It has no default: whoever raises knows best.
    NOTHING_CHANGED is for what is raised before anything is touched.
    """

    happened: str
    state: str
    next_command: str | None = None

    def __str__(self) -> str:
        lines = [self.happened, self.state]
        if self.next_command:
            lines.append(f"Next: {self.next_command}")
        return "\n".join(line for line in lines if line)
