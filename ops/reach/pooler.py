"""PgBouncer on PostgreSQL's machine: paused, resumed, asked how it is."""

import csv

from host.domain import pooler
from ops.errors import OperatorError
from ops.model import PoolerStatus
from ops.reach import postgres
from ops.reach.ssh import Machine, Result, Site

# Longer than a connection is waited for where somebody else has none.
LOGIN_TIMEOUT_S = 15.0


def pause(site: Site) -> str:
    """Have its clients wait from now on, where the stack has one. What to say about it."""
    if site.outputs.pooler is None:
        return ""
    done = _tell(site.postgres, "PAUSE")
    if not pooler.paused(_tell(site.postgres, "SHOW STATE").stdout):
        return f"; clients of the pooler cannot wait: {done.said or 'it says nothing'}"
    if done.returncode == pooler.TIMED_OUT:
        return f"; transactions through the pooler that took over {pooler.PATIENCE_S} s are cut"
    return "; clients of the pooler wait"


def resume(site: Site) -> None:
    """Have its clients go on, where the stack has one; one that was not paused, or does not answer,
    is left to `ops status`. Raises OperatorError where it stays paused."""
    if site.outputs.pooler is None:
        return
    done = _tell(site.postgres, "RESUME")
    if pooler.paused(_tell(site.postgres, "SHOW STATE").stdout):
        raise OperatorError(
            f"The pooler does not resume: {done.said or 'it says nothing'}",
            "Its clients wait; PostgreSQL itself was not touched by this.",
            f"sudo systemctl restart {pooler.UNIT}   (on PostgreSQL's machine)",
        )


def read(site: Site, *, log_in: bool) -> PoolerStatus:
    """How it is, on its own machine; with `log_in` a database's owner logs in through it as well,
    which PostgreSQL has to run for."""
    machine = site.postgres
    state = _tell(machine, "SHOW STATE")
    if not state.ok:
        return PoolerStatus(answers=False, error=state.said or "it says nothing")
    paused = pooler.paused(state.stdout)
    waiting, longest = waits(_tell(machine, "SHOW POOLS").stdout)
    return PoolerStatus(
        answers=True,
        error=_refused(site) if log_in and not paused else None,
        paused=paused,
        waiting=waiting,
        longest_wait_s=longest,
    )


def waits(pools: str) -> tuple[int, float]:
    """How many clients wait for a connection, and for how many seconds the first of them has, from
    what it says to SHOW POOLS."""
    rows = list(csv.DictReader(pools.splitlines(), delimiter="|"))
    waiting = sum(int(row["cl_waiting"]) for row in rows)
    return waiting, max((float(row["maxwait"]) for row in rows), default=0.0)


def _refused(site: Site) -> str | None:
    """Why an owner of a database is not let in; None where one is."""
    pooled = [each.pooler_uri for each in site.outputs.databases.values() if each.pooler_uri]
    if not pooled:
        return None
    done = postgres.log_in(site.postgres, pooled[0].get_secret_value(), LOGIN_TIMEOUT_S)
    return None if done.ok else done.said or f"no answer within {LOGIN_TIMEOUT_S:.0f} s"


def _tell(machine: Machine, command: str) -> Result:
    return machine.run(
        pooler.console(command), user=pooler.USER, timeout_s=pooler.PATIENCE_S + 10, accept=None
    )
