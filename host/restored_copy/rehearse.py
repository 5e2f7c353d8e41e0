"""A copy started once, still confined, with the settings of the server that it is to replace."""

import json
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from host.domain import server_log
from host.domain.control_data import minimums
from host.restored_copy import confinement
from host.restored_copy.copy import Copy
from host.restored_copy.files import AUTO_CONF, locations
from host.restored_copy.server import Failed, Refused, Server

POLL_S = 0.25
PREPARED = "max_prepared_transactions"
# Of what was set by ALTER SYSTEM, or written there by Barman: what only a recovery reads.
_RECOVERY = re.compile(r"\s*(restore_command|recovery_|primary_)")


def main(document: dict[str, Any], config_file: str, auto_conf: list[str]) -> None:
    """Rehearse with the files of `auto_conf` that there are, the first one before the others, and
    print as JSON {remark: what was changed of it, or null}; or {failed: why} where PostgreSQL does
    not start."""
    copy = Copy(**document)
    there = (Path(path) for path in auto_conf)
    settings = [without_recovery(path.read_text()) for path in there if path.exists()] or [""]
    try:
        found = {"remark": rehearse(copy, config_file, *settings)}
    except Failed as failed:
        found = {"failed": str(failed)}
    print(json.dumps(found))


def rehearse(copy: Copy, config_file: str, settings: str, *others: str) -> str | None:
    """Give the copy `settings` for its postgresql.auto.conf and see it start. Where it does not, it
    gets what its prepared transactions need besides, or one of `others`, or what is left without
    the settings that are in the way; this returns what was changed, and why. Raises Failed."""
    server, options = Server(copy), confinement.rehearsal(copy, config_file)
    needed = minimums(server.control())
    wrong = start_and_stop(server, options, settings)
    if wrong is None:
        return None
    prepared = f"{PREPARED} = {needed.get(PREPARED, 0)}"
    added = f"ADDED {prepared}, which prepared transactions in the data need"
    if start_and_stop(server, options, f"{settings}{prepared}\n") is None:
        return added
    for other in others:
        if start_and_stop(server, options, other) is None:
            return f"LEFT OUT what was set by ALTER SYSTEM since the backup ({wrong})"
    # Each alone; what the data insist on is given, for another line may be the one that gives it.
    refused: dict[str, str] = {}
    for line in settings.splitlines(True):
        if line.strip() and not line.startswith("#"):
            why = start_and_stop(server, options | needed, line)
            if why is not None:
                refused[line] = why
    left = "".join(line for line in settings.splitlines(True) if line not in refused)
    said = "; ".join(f"{line.strip()} ({why})" for line, why in refused.items())
    left_out = f"LEFT OUT of what was set by ALTER SYSTEM: {said}"
    if start_and_stop(server, options, left) is None:
        return left_out
    if start_and_stop(server, options, f"{left}{prepared}\n") is None:
        return f"{left_out}; {added}"
    raise Failed(f"PostgreSQL does not start with the server's settings: {wrong}")


def without_recovery(text: str) -> str:
    """A postgresql.auto.conf without the settings of a recovery."""
    return "".join(line for line in text.splitlines(True) if not _RECOVERY.match(line))


def start_and_stop(server: Server, options: Mapping[str, str], settings: str) -> str | None:
    """Start and stop it with this command line and this postgresql.auto.conf; why it did not start,
    None if it did."""
    argv = server.as_user(["tee", f"{server.copy.data}/{AUTO_CONF}"])
    subprocess.run(argv, input=settings, text=True, stdout=subprocess.DEVNULL, check=True)
    server.launch(locations(Path(server.copy.data)), options, {})
    try:
        while server.running():
            try:
                server.query("SELECT 1")
            except Refused:
                time.sleep(POLL_S)
            else:
                return None
        return server_log.reason(server.logged())
    finally:
        server.stop()
