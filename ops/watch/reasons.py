"""Reasons for a verdict."""

from ops.model import Reason, Verdict


def unprotected(text: str, next_command: str | None = None) -> Reason:
    """What is written now could be lost."""
    return Reason(verdict=Verdict.UNPROTECTED, text=text, next_command=next_command)


def degraded(text: str, next_command: str | None = None) -> Reason:
    """It works, and something needs attention."""
    return Reason(verdict=Verdict.DEGRADED, text=text, next_command=next_command)
