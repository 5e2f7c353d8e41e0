"""What was recovered, looked at before anything depends on it."""

from ops.errors import OperatorError
from ops.reach import postgres
from ops.recover import amcheck
from ops.recover.restore import the_plan
from ops.runbook.steps import Run


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
    *names, checksums = postgres.query(
        machine, "SELECT datname FROM pg_database WHERE datallowconn; SHOW data_checksums"
    ).split("\n")
    everything = bool(run.journal.options.get("check_everything"))
    finding = amcheck.check(run, names, everything=everything)
    if finding.damaged:
        if not run.journal.options.get("accept_damage"):
            raise amcheck.refusal(finding)
        run.remember(damaged=finding.damaged)
    return (
        f"timeline {status.timeline}, {len(names)} databases connect, checksums {checksums}; "
        f"{finding.describe()}"
    )
