"""What was recovered, looked at before anything depends on it."""

import json

from ops.errors import OperatorError
from ops.reach import postgres
from ops.recover import amcheck
from ops.recover.restore import the_plan
from ops.runbook.steps import Run

# A DROP DATABASE that was interrupted leaves -2 (PostgreSQL's DATCONNLIMIT_INVALID_DB): nobody can
# connect, and it can only be dropped.
FACTS = """
SELECT json_build_object(
  'databases', (SELECT json_agg(datname) FROM pg_database
     WHERE datallowconn AND datconnlimit <> -2),
  'invalid', (SELECT coalesce(json_agg(datname), '[]') FROM pg_database WHERE datconnlimit = -2),
  'prepared', (SELECT coalesce(json_agg(gid), '[]') FROM pg_prepared_xacts),
  'checksums', current_setting('data_checksums'))
"""


def verify(run: Run) -> str:
    """The right cluster, on a new timeline, every database readable, tables and indexes sound."""
    plan, machine = the_plan(run), run.site.postgres
    status, _, _ = postgres.state(machine, run.site.outputs.backup.slot)
    postgres.require_running(status)
    if status.system_id != plan.system_id:
        raise OperatorError(
            f"The system identifier is {status.system_id}, the backup's is {plan.system_id}.",
            "This check changed nothing.",
        )
    if status.timeline is None or status.timeline <= plan.timeline:
        raise OperatorError(
            f"The timeline is {status.timeline}, not one after {plan.timeline}.",
            "This check changed nothing.",
        )
    facts = json.loads(postgres.query(machine, FACTS))
    names = facts["databases"]
    everything = bool(run.journal.options.get("check_everything"))
    finding = amcheck.check(run, names, everything=everything)
    if finding.damaged:
        if not run.journal.options.get("accept_damage"):
            raise amcheck.refusal(finding)
        run.remember(damaged=finding.damaged)
    said = [
        f"timeline {status.timeline}, {len(names)} databases, checksums {facts['checksums']}",
        finding.describe(),
    ]
    if facts["invalid"]:
        said.append(f"left as they are, half dropped: {', '.join(facts['invalid'])}")
    if facts["prepared"]:
        said.append(f"prepared transactions hold their locks: {', '.join(facts['prepared'])}")
    return "; ".join(said)
