"""PostgreSQL started on the restored data: WAL replayed to the target, then promoted."""

import json
import re
import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from host.domain import server_log
from host.domain.control_data import minimums
from host.domain.wal import parse_lsn, show_lsn
from host.domain.wal_store import STOPPED_BY_DAMAGE, STOPPED_BY_OUTAGE
from ops.archive.catalogue import Commit
from ops.archive.targets import Kind, Target
from ops.errors import OperatorError
from ops.reach import postgres
from ops.reach.ssh import CommandFailed
from ops.recover import access
from ops.recover.cluster import cluster, prove_stopped, set_start, stop_unit
from ops.recover.restore import WITHOUT_BARMAN, render, write_override
from ops.runbook.progress import watched
from ops.runbook.steps import Run, Step
from ops.screen import moment

POLL_S = 0.5
# How long Barman may be out of reach: a reboot of its machine takes less.
OUTAGE_S = 600
# Logged when restore_command ended neither with a file nor with "no such file".
NOT_FETCHED = re.compile(r'could not restore file "(.+?)" from archive: .* exit code (\d+)')
PROMOTE_TIMEOUT_S = 600
PROGRESS = """
SELECT json_build_object('in_recovery', pg_is_in_recovery(),
  'paused', CASE WHEN pg_is_in_recovery() THEN pg_get_wal_replay_pause_state() END,
  'lsn', pg_last_wal_replay_lsn(),
  'time', pg_last_xact_replay_timestamp())
"""


SETTINGS = "SELECT json_object_agg(name, setting) FROM pg_settings WHERE starts_with(name, 'max_')"


def replay(run: Run) -> str:
    """Start PostgreSQL and wait until it has arrived. Raises OperatorError with its own words."""
    target = Target.model_validate(run.journal.facts.get("target") or {})
    # From here on a reboot goes on replaying.
    set_start(run, "auto")
    mark = _start(run)
    began = time.monotonic()
    plan = run.journal.plan
    first, last = (plan.replay_from, plan.replay_to) if plan else (0, 0)
    seen, out_of_reach = None, Outage(OUTAGE_S)

    def replayed() -> int | None:
        at = seen["lsn"] if seen else None
        return None if at is None else max(0, min(parse_lsn(at), last) - first)

    with watched(run.console, last - first, replayed) as tick:
        while True:
            seen = progress(run)
            if seen is not None and seen["in_recovery"] and seen["paused"] == "paused":
                if not _wants_more(run):
                    break
                run.say("the WAL asks for higher settings than the backup had; starting it again")
                mark = _restart(run)
            elif seen is not None and not seen["in_recovery"]:
                break
            if seen is not None:
                out_of_reach.over()
            elif _gave_up(run):
                logged = _logged(run, mark)
                if not out_of_reach_then(logged) or out_of_reach.too_long():
                    raise OperatorError(
                        explain(logged),
                        "The restored data is replayed in part and was not promoted.",
                        next_command="python -m ops window",
                    )
                if out_of_reach.begins():
                    run.say("PostgreSQL cannot fetch WAL from Barman; starting it again")
                mark = _start(run)
            tick(time.monotonic() - began)
            time.sleep(POLL_S)
    if target.kind is not Kind.LATEST and not seen["in_recovery"]:
        run.say("PostgreSQL had been promoted already")
    require_promised(run.journal.facts.get("promised"), seen["lsn"])
    if seen["time"]:
        run.remember(replayed_to=seen["time"])
    at = seen["time"] or run.journal.facts.get("replayed_to")
    return f"replayed; the last commit is of {moment(datetime.fromisoformat(at) if at else None)}"


def require_promised(promised: dict[str, Any] | None, reached: str | None) -> None:
    """Raises OperatorError where replay ended before the last commit that Barman holds.

    `promised` is that commit (catalogue.Commit) where all WAL was to be replayed. `reached` is not
    known of a server that was started again after its promotion, and is not looked at then.
    """
    if promised is None or reached is None:
        return
    commit = Commit.model_validate(promised)
    if parse_lsn(reached) < commit.lsn:
        raise OperatorError(
            f"Replay ended at {reached}, before the last commit in Barman's WAL, which is at "
            f"{show_lsn(commit.lsn)} ({moment(commit.time)}): the WAL between them is damaged.",
            "The restored data was not opened to clients.",
            next_command=f"python -m ops recover --target-lsn {reached}   (to have what is before "
            "the damage)",
        )


def undo_replay(run: Run) -> None:
    """Stop the restored server."""
    set_start(run, "disabled")
    stop_unit(run)
    prove_stopped(run)


def promote(run: Run) -> str:
    """Put it on a timeline of its own. Nobody but the runbook is let in yet."""
    names, machine = cluster(run), run.site.postgres
    seen = progress(run)
    if seen is None:
        machine.run(["systemctl", "start", names.unit], timeout_s=600)
        seen = progress(run)
    if seen is None or seen["in_recovery"]:
        ask = f"SELECT pg_promote(true, {PROMOTE_TIMEOUT_S})"
        if postgres.query(machine, ask, timeout_s=PROMOTE_TIMEOUT_S + 100) != "t":
            raise OperatorError(
                f"PostgreSQL was not promoted within {PROMOTE_TIMEOUT_S} s.",
                "The restored data was not opened to clients.",
            )
    # The control file has the new timeline from the next checkpoint on.
    postgres.query(machine, "CHECKPOINT", timeout_s=3600)
    timeline = int(postgres.query(machine, "SELECT timeline_id FROM pg_control_checkpoint()"))
    run.remember(timeline=timeline)
    return f"on timeline {timeline}; clients are not let in yet"


def let_clients_in(run: Run) -> str:
    """Start it with the server's own configuration; only commits do not wait for Barman yet.

    The restart forgets the recovery's settings: without it they would be waiting for one.
    """
    names, machine = cluster(run), run.site.postgres
    access.lift(run)
    write_override(run, names, render(WITHOUT_BARMAN))
    machine.run(["systemctl", "restart", names.unit], timeout_s=3600)
    status, _, _ = postgres.state(machine, run.site.outputs.backup.slot)
    postgres.require_running(status)
    return "accepts clients"


# Commits are acknowledged from here on: no way back.
OPEN = Step("open", "Let clients in", let_clients_in, final=True)


def progress(run: Run) -> dict[str, Any] | None:
    """How far replay is; None while no connection is accepted."""
    try:
        return json.loads(postgres.query(run.site.postgres, PROGRESS, timeout_s=30))
    except CommandFailed:
        return None


def _wants_more(run: Run) -> bool:
    """Whether replay has paused because the WAL asks for higher settings, not at its target."""
    needed = minimums(access.control(run.site.postgres, cluster(run)))
    given = json.loads(postgres.query(run.site.postgres, SETTINGS))
    return any(int(value) > int(given[name]) for name, value in needed.items())


def _restart(run: Run) -> int:
    """Start PostgreSQL again with what the control file asks for now; the size of its log."""
    stop_unit(run)
    access.restrict(run)
    return _start(run)


def _gave_up(run: Run) -> bool:
    """Whether PostgreSQL has ended and nothing is about to start it, as a boot is."""
    said = run.site.postgres.run(
        ["systemctl", "show", "--property=ActiveState,Job", cluster(run).unit]
    ).stdout
    state = dict(line.split("=", 1) for line in said.splitlines() if line)
    return state["ActiveState"] in ("failed", "inactive") and not state.get("Job")


def _start(run: Run) -> int:
    """Start PostgreSQL without waiting for it; the size of its log before, in bytes."""
    names, machine = cluster(run), run.site.postgres
    log = machine.run(["stat", "--format=%s", names.log], accept=(0, 1))
    machine.run(["systemctl", "reset-failed", names.unit], accept=None)
    machine.run(["systemctl", "start", "--no-block", names.unit])
    return int(log.stdout) if log.ok else 0


def _logged(run: Run, mark: int) -> str:
    """What PostgreSQL logged since its log was `mark` bytes long."""
    tail = ["tail", "-c", f"+{mark + 1}", cluster(run).log]
    return run.site.postgres.run(tail, accept=None).stdout


def out_of_reach_then(logged: str) -> bool:
    """Whether PostgreSQL gave up because Barman could not be asked for WAL."""
    lost = NOT_FETCHED.search(server_log.reason(logged))
    return lost is not None and int(lost[2]) == STOPPED_BY_OUTAGE


def explain(logged: str) -> str:
    """Why PostgreSQL gave up, from what it logged."""
    why = server_log.reason(logged)
    lost = NOT_FETCHED.search(why)
    if lost and int(lost[2]) == STOPPED_BY_DAMAGE:
        return (
            f"Barman has the WAL file {lost[1]} and cannot read it: it is damaged. Replay stopped "
            "before it; what was committed later is in that file and the ones after it. Either "
            "put a sound copy in its place on Barman's machine (the old data directory's pg_wal "
            "may still have one), or recover to a moment before it."
        )
    if "recovery ended before configured recovery target was reached" in why:
        return f"The WAL ends before the target: {why}"
    return f"PostgreSQL stopped while replaying: {why}"


@dataclass
class Outage:
    """Barman out of reach, for at most `limit_s` on end."""

    limit_s: float
    since: float | None = None

    def begins(self) -> bool:
        """Whether this is the first that is heard of it."""
        if self.since is not None:
            return False
        self.since = time.monotonic()
        return True

    def over(self) -> None:
        self.since = None

    def too_long(self) -> bool:
        return self.since is not None and time.monotonic() > self.since + self.limit_s
