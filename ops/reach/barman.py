"""Barman's own words: its JSON answers, parsed. Written for 3.13 and newer."""

import json
from datetime import UTC, datetime
from typing import Any

from ops.errors import OperatorError
from ops.model import BackupStatus, Check
from ops.reach import shell
from ops.reach.ssh import Machine, Result

USER = "barman"
# The check that some backup in the catalogue has failed, be there good ones after it or not.
FAILED_BACKUPS = "failed_backups"
# The home of that user, where it may leave a log.
HOME = "/var/lib/barman"


def ask(machine: Machine, *words: str, timeout_s: float = 120) -> Any:
    """The JSON answer of `barman WORDS…`. Raises OperatorError when there is none."""
    result = machine.run(
        ["barman", "-f", "json", *words], user=USER, timeout_s=timeout_s, accept=None
    )
    try:
        return json.loads(result.stdout)
    except json.JSONDecodeError:
        raise OperatorError(
            f"barman {' '.join(words)} on {machine.name} failed ({result.returncode}): "
            f"{result.said}",
            "That command only reads; it changed nothing.",
            next_command="python -m ops status",
        ) from None


def tell(machine: Machine, *words: str, timeout_s: float = 120) -> Result:
    """Run `barman WORDS…`, which must succeed. Raises CommandFailed.

    Its output goes through a file: a receiver that barman starts would inherit and keep a pipe.
    """
    return shell.run(machine, "through-file", "barman", *words, user=USER, timeout_s=timeout_s)


def checks(answer: Any, server: str) -> list[Check]:
    """The lines of `barman check`."""
    return [
        Check(name=name, ok=line.get("status") == "OK", hint=line.get("hint") or "")
        for name, line in answer[server].items()
        if isinstance(line, dict)
    ]


def backups(answer: Any, server: str) -> list[BackupStatus]:
    """The backups of `barman list-backups`, newest first."""
    found = [
        BackupStatus(
            id=item["backup_id"],
            status=item["status"],
            type=item.get("backup_type", "full"),
            ended_at=moment(item.get("end_time_timestamp")),
            size_bytes=item.get("size_bytes"),
        )
        for item in answer[server]
    ]
    return sorted(found, key=lambda backup: backup.id, reverse=True)


def moment(timestamp: str | int | None) -> datetime | None:
    """A time from Barman's seconds since 1970."""
    return None if timestamp in (None, "") else datetime.fromtimestamp(int(timestamp), UTC)
