"""What pg_controldata says of a data directory."""

import re

# Settings of which a server in recovery refuses lower values than its primary had, by the names
# that pg_controldata has for them.
_PARAMETERS = {
    "max_connections": "max_connections",
    "max_worker_processes": "max_worker_processes",
    "max_wal_senders": "max_wal_senders",
    "max_prepared_xacts": "max_prepared_transactions",
    "max_locks_per_xact": "max_locks_per_transaction",
}


def fields(text: str) -> dict[str, str]:
    """All of pg_controldata's output, by its own names."""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def minimums(text: str) -> dict[str, str]:
    """The settings that replay insists on, from pg_controldata's output. Those of the newest WAL
    that was replayed: they may rise on the way."""
    found = dict(re.findall(r"^(\w+) setting:\s+(\S+)$", text, re.MULTILINE))
    return {name: found[key] for key, name in _PARAMETERS.items() if key in found}
