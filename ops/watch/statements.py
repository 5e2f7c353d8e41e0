"""`ops top`: the statements that cost most, as pg_stat_statements counts them."""

import json
from datetime import datetime

from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from ops.errors import NOTHING_CHANGED, OperatorError
from ops.reach import postgres
from ops.reach.ssh import CommandFailed, Site
from ops.screen import moment, size

MOST = 10
# On the screen; --json has more of it.
SHOWN_CHARACTERS = 300
# Constants have been replaced by PostgreSQL; utility statements, which may hold a password, are not
# counted (settings/parameters.py).
_ASK = f"""
WITH counted AS (
  SELECT s.*, sum(total_exec_time) OVER () AS everything FROM pg_stat_statements s
)
SELECT json_build_object(
  'since', (SELECT stats_reset FROM pg_stat_statements_info),
  'statements', coalesce((SELECT json_agg(row) FROM (
    SELECT json_build_object(
      'query', left(regexp_replace(query, '\\s+', ' ', 'g'), 2000),
      'database', (SELECT datname FROM pg_database WHERE oid = dbid),
      'role', (SELECT rolname FROM pg_roles WHERE oid = userid),
      'calls', calls, 'rows', rows, 'total_s', total_exec_time / 1000,
      'mean_ms', mean_exec_time, 'share', total_exec_time / nullif(everything, 0),
      'read_bytes', shared_blks_read * current_setting('block_size')::bigint,
      'temporary_bytes', temp_blks_written * current_setting('block_size')::bigint,
      'wal_bytes', wal_bytes) AS row
    FROM counted ORDER BY total_exec_time DESC LIMIT {MOST}) AS most), '[]'))
"""  # noqa: S608 - a constant


class _Model(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Statement(_Model):
    """A statement in one database by one role, whatever its constants were."""

    query: str
    """With $1, $2 … where constants were; its first 2,000 characters."""
    database: str | None
    """null when it has been dropped since."""
    role: str | None
    calls: int
    rows: int
    total_s: float
    """The time that all its runs took together."""
    mean_ms: float
    share: float | None
    """Of the time of all statements that are counted, 0 to 1."""
    read_bytes: int
    """Not found in shared_buffers."""
    temporary_bytes: int
    """Written to temporary files, for work_mem was too small."""
    wal_bytes: int


class Statements(_Model):
    """What PostgreSQL spends its time on."""

    since: datetime
    """When counting began."""
    statements: list[Statement]
    """The ten that cost most, the dearest first."""


def read(site: Site) -> Statements:
    """Ask the server. Raises OperatorError."""
    try:
        said = postgres.query(site.postgres, _ASK, timeout_s=30)
    except CommandFailed as error:
        raise OperatorError(
            f"PostgreSQL does not say what it spends its time on: {error.result.said}",
            NOTHING_CHANGED,
            next_command="python -m ops apply   (which loads pg_stat_statements and creates the "
            "extension in the database postgres)",
        ) from None
    return Statements.model_validate(json.loads(said))


def show(found: Statements, console: Console) -> None:
    """For people."""
    if not found.statements:
        console.print(f"No statement has been counted since {moment(found.since)}.")
        return
    console.print(f"Statements by their time, since {moment(found.since)}:")
    for each in found.statements:
        cost = (
            f"{100 * (each.share or 0):3.0f} %  {each.total_s:.1f} s: {each.calls:,} calls of "
            f"{each.mean_ms:.1f} ms, {each.rows:,} rows, {size(each.read_bytes)} read, "
            f"{size(each.temporary_bytes)} in temporary files"
        )
        console.print(Text(f"\n{cost}", style="bold"))
        where = f"{each.database or '(dropped)'}, {each.role or '(dropped)'}"
        query = Text(f"{where}: {each.query[:SHOWN_CHARACTERS]}")
        console.print(Padding(query, (0, 0, 0, 7)))
