# ruff: noqa: S608 - names and values are quoted by host/domain/quoting
"""A replication slot of a move, removed: one that nobody reads from retains WAL for ever."""

import time

from host.domain.quoting import sql_literal
from ops.onmachine.migration.sessions import Failed, Server

# How often whoever reads from it is ended again before it is given up.
_ENDINGS = 20


def drop(server: Server, slot: str) -> None:
    """Remove it, whoever still reads from it. Raises Failed."""
    name = sql_literal(slot)
    for attempt in range(_ENDINGS):
        server.ask(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
            f"WHERE slot_name = {name} AND active"
        )
        try:
            server.ask(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots "
                f"WHERE slot_name = {name}"
            )
            return
        except Failed as failed:
            if attempt == _ENDINGS - 1 or "is active" not in str(failed):
                raise
            time.sleep(0.25)
