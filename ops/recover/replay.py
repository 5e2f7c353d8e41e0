"""PostgreSQL started on the restored data: WAL replayed to the target, then promoted, verified."""

import json
import time
from typing import Any

from ops import postgres
from ops.errors import OperatorError
from ops.recover.cluster import cluster, prove_stopped, set_start, stop_unit
from ops.recover.restore import WITHOUT_BARMAN, render, the_plan, write_override
from ops.ssh import CommandFailed
from ops.steps import Run
from ops.targets import Kind, Target

POLL_S = 0.5
PROGRESS_EVERY_S = 10.0
PROMOTE_TIMEOUT_S = 600
PROGRESS = """
SELECT json_build_object('in_recovery', pg_is_in_recovery(),
  'paused', CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() END,
  'lsn', pg_last_wal_replay_lsn(),
  'time', pg_last_xact_replay_timestamp())
"""
# Leaves nothing behind: the extension is gone again with the transaction.
CHECK_CATALOGS = """
BEGIN;
SET LOCAL client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS amcheck;
SELECT count(bt_index_check(c.oid)) FROM pg_class c JOIN pg_am a ON a.oid = c.relam
 WHERE c.relkind = 'i' AND a.amname = 'btree' AND c.relpersistence = 'p'
   AND c.relnamespace = 'pg_catalog'::regnamespace;
ROLLBACK;
"""


def replay(run: Run) -> str:
    """Start PostgreSQL and wait until it has arrived. Raises OperatorError with its own words."""
    names, machine = cluster(run), run.site.postgres
    target = Target.model_validate(run.journal.facts.get("target") or {})
    # From here on a reboot goes on replaying.
    set_start(run, "auto")
    mark = machine.run(["sh", "-c", 'wc -c <"$1" 2>/dev/null || echo 0', "size", names.log]).stdout
    machine.run(["systemctl", "reset-failed", names.unit], accept=None)
    machine.run(["systemctl", "start", "--no-block", names.unit])
    began = shown = time.monotonic()
    while True:
        seen = progress(run)
        if seen is not None and (not seen["in_recovery"] or seen["paused"] == "paused"):
            break
        if seen is None and _unit_state(run) in ("failed", "inactive"):
            raise OperatorError(_explain(run, int(mark)), next_command="python -m ops window")
        if time.monotonic() - shown > PROGRESS_EVERY_S:
            shown = time.monotonic()
            where = (
                f"at {seen['lsn']}, commits up to {seen['time']}" if seen else "not consistent yet"
            )
            run.say(f"{where}, after {shown - began:.0f} s")
        time.sleep(POLL_S)
    if target.kind is not Kind.LATEST and not seen["in_recovery"]:
        run.say("PostgreSQL had been promoted already")
    if seen["time"]:
        run.remember(replayed_to=seen["time"])
    return f"replayed; the last commit is of {seen['time'] or run.journal.facts.get('replayed_to')}"


def undo_replay(run: Run) -> None:
    """Stop the restored server."""
    set_start(run, "disabled")
    stop_unit(run)
    prove_stopped(run)


def promote(run: Run) -> str:
    """Make it a server that accepts writes, on a timeline of its own.

    The restart forgets the recovery's settings: without it they would be waiting for one.
    """
    names, machine = cluster(run), run.site.postgres
    seen = progress(run)
    if seen is None:
        machine.run(["systemctl", "start", names.unit], timeout_s=600)
        seen = progress(run)
    if seen is None or seen["in_recovery"]:
        postgres.query(machine, f"SELECT pg_promote(true, {PROMOTE_TIMEOUT_S})", timeout_s=700)
    write_override(run, names, render(WITHOUT_BARMAN))
    machine.run(["systemctl", "restart", names.unit], timeout_s=3600)
    timeline = int(postgres.query(machine, "SELECT timeline_id FROM pg_control_checkpoint()"))
    run.remember(timeline=timeline)
    return f"accepts writes on timeline {timeline}"


def verify(run: Run) -> str:
    """The right cluster, on a new timeline, and every database readable."""
    plan, machine = the_plan(run), run.site.postgres
    status, _, _ = postgres.state(machine, run.site.outputs.backup.slot)
    postgres.require_running(status)
    if status.system_id != plan.system_id:
        raise OperatorError(
            f"The system identifier is {status.system_id}, the backup's is {plan.system_id}."
        )
    if status.timeline is None or status.timeline <= plan.timeline:
        raise OperatorError(f"The timeline is {status.timeline}, not one after {plan.timeline}.")
    names = postgres.query(machine, "SELECT datname FROM pg_database WHERE datallowconn").split(
        "\n"
    )
    indexes = 0
    for name in names:
        said = postgres.query(machine, CHECK_CATALOGS, database=name, timeout_s=1800)
        indexes += int(said.split("\n")[-1])
    checksums = postgres.query(machine, "SHOW data_checksums")
    return (
        f"timeline {status.timeline}, {len(names)} databases connect, {indexes} catalog indexes "
        f"sound, checksums {checksums}"
    )


def progress(run: Run) -> dict[str, Any] | None:
    """How far replay is; None while no connection is accepted."""
    try:
        return json.loads(postgres.query(run.site.postgres, PROGRESS, timeout_s=30))
    except CommandFailed:
        return None


def _unit_state(run: Run) -> str:
    return run.site.postgres.run(
        ["systemctl", "is-active", cluster(run).unit], accept=None
    ).stdout.strip()


def _explain(run: Run, mark: int) -> str:
    """Why PostgreSQL gave up: its FATAL line, or the end of what it logged since `mark`."""
    text = run.site.postgres.run(
        ["tail", "-c", f"+{mark + 1}", cluster(run).log], accept=None
    ).stdout
    fatal = [line for line in text.splitlines() if "FATAL" in line or "PANIC" in line]
    why = fatal[-1] if fatal else "\n".join(text.splitlines()[-10:]) or "it logged nothing"
    if "recovery ended before configured recovery target was reached" in why:
        return f"The WAL ends before the target: {why}"
    return f"PostgreSQL stopped while replaying: {why}"
