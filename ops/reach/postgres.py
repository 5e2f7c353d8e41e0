"""PostgreSQL asked on its own machine, through the socket, as the postgres user."""

import json
from typing import Any
from urllib.parse import urlsplit

from host.domain import sessions
from host.domain.paths import PORT, SOCKETS
from host.domain.processes import APPLICATION_NAME
from host.restored_copy.copy import Copy
from host.restored_copy.server import PSQL
from ops.errors import OperatorError
from ops.model import PostgresStatus, ReceiverStatus, SlotStatus
from ops.reach import shell
from ops.reach.ssh import CommandFailed, Machine, Result

USER = "postgres"
# What users have set for a database or a role does not reach our own sessions.
SESSION = ("env", f"PGOPTIONS={sessions.OPTIONS}")
ONLY_ASKED = "PostgreSQL was only asked for its state."

# One statement, so that every number is of one moment.
STATE = """
WITH here AS (
  SELECT CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_replay_lsn(), '0/0')
              ELSE pg_current_wal_lsn() END AS lsn
)
SELECT json_build_object(
  'version', split_part(current_setting('server_version'), ' ', 1),
  'system_id', (SELECT system_identifier::text FROM pg_control_system()),
  'timeline', CASE WHEN pg_is_in_recovery()
    THEN (SELECT timeline_id FROM pg_control_checkpoint())
    ELSE ('x' || substr(pg_walfile_name(lsn), 1, 8))::bit(32)::int END,
  'in_recovery', pg_is_in_recovery(),
  'replay_paused', CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END,
  'started_at', pg_postmaster_start_time(),
  'lsn', lsn,
  'synchronous_standby_names', current_setting('synchronous_standby_names'),
  'connections', (SELECT count(*) FROM pg_stat_activity
     WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()
     AND application_name <> 'heartbeat'),
  'tablespaces', (SELECT coalesce(json_agg(spcname ORDER BY spcname), '[]') FROM pg_tablespace
     WHERE spcname NOT IN ('pg_default', 'pg_global')),
  'receiver', (SELECT json_build_object(
      'state', state, 'sync_state', sync_state, 'connected_at', backend_start,
      'write_lag_bytes', greatest(pg_wal_lsn_diff(lsn, coalesce(write_lsn, '0/0')), 0)::bigint,
      'flush_lag_bytes', greatest(pg_wal_lsn_diff(lsn, coalesce(flush_lsn, '0/0')), 0)::bigint)
    FROM pg_stat_replication WHERE application_name = '%(receiver)s'
    ORDER BY state = 'streaming' DESC LIMIT 1),
  'slot', (SELECT json_build_object(
      'name', slot_name, 'active', active, 'wal_status', wal_status,
      'safe_wal_bytes', safe_wal_size,
      'retained_bytes', greatest(pg_wal_lsn_diff(lsn, restart_lsn), 0)::bigint)
    FROM pg_replication_slots WHERE slot_name = '%(slot)s')
) FROM here
"""


def query(
    machine: Machine,
    sql: str,
    *,
    database: str = "postgres",
    timeout_s: float = 60,
    waits_for_barman: bool = False,
    copy: Copy | None = None,
) -> str:
    """What psql prints for `sql`, unaligned, without headers, in the server or in a copy beside it.
    Raises CommandFailed.

    A commit waits for Barman, where the stack is set so, only if asked to: Barman may be away.
    """
    # Not with -d, which takes a name with = in it for a connection string.
    argv = [*SESSION, f"PGDATABASE={database}"]
    if copy is not None:
        argv += [f"PGHOST={copy.folder}", f"PGPORT={copy.port}"]
    argv += PSQL
    if not waits_for_barman:
        sql = f"SET synchronous_commit = local;\n{sql}"
    return machine.run(argv, user=USER, stdin=sql, timeout_s=timeout_s).stdout.strip()


def state(
    machine: Machine, slot: str
) -> tuple[PostgresStatus, ReceiverStatus | None, SlotStatus | None]:
    """The server, Barman's receiver on it and Barman's slot."""
    try:
        answer = query(machine, STATE % {"receiver": APPLICATION_NAME, "slot": slot}, timeout_s=20)
    except CommandFailed as error:
        return PostgresStatus(accepting=False, error=error.result.said), None, None
    return parse_state(json.loads(answer))


def parse_state(
    answer: dict[str, Any],
) -> tuple[PostgresStatus, ReceiverStatus | None, SlotStatus | None]:
    """The three parts of STATE's one JSON object."""
    server = {name: value for name, value in answer.items() if name not in ("receiver", "slot")}
    receiver, slot = answer["receiver"], answer["slot"]
    return (
        PostgresStatus(accepting=True, **server),
        ReceiverStatus.model_validate(receiver) if receiver else None,
        SlotStatus.model_validate(slot) if slot else None,
    )


def log_in(machine: Machine, uri: str, timeout_s: float) -> Result:
    """Log in as any client does, from the server's own machine, with the role, the password and the
    database of a connection string (a secret): at its port, or through the socket where that is
    PostgreSQL's own. Exit code 2: not let in."""
    parts = urlsplit(uri)
    host = SOCKETS if parts.port in (None, PORT) else parts.hostname or ""
    return shell.run(
        machine,
        "log-in",
        *(host, str(parts.port or PORT), parts.username or "", parts.path.lstrip("/")),
        user=USER,
        stdin=f"*:*:*:*:{parts.password}\n",
        timeout_s=timeout_s,
        accept=None,
    )


def require_running(status: PostgresStatus) -> None:
    """Raises OperatorError unless the server accepts connections and is no standby."""
    if not status.accepting:
        raise OperatorError(
            f"PostgreSQL does not accept connections: {status.error}",
            ONLY_ASKED,
            next_command="python -m ops status",
        )
    if status.in_recovery:
        raise OperatorError(
            "PostgreSQL is still in recovery.",
            ONLY_ASKED,
            next_command="python -m ops recover --resume",
        )
