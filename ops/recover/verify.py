"""What was recovered, looked at before anything depends on it."""

from collections.abc import Mapping
from typing import Any

from ops.archive.plan import Plan
from ops.errors import OperatorError
from ops.recover import copies
from ops.recover.restore import copy_of, the_plan
from ops.runbook.steps import Run
from ops.screen import size

CHANGED_NOTHING = "This check changed nothing."


def verify(run: Run) -> str:
    """The right cluster, on a new timeline, every database readable, tables and indexes sound."""
    plan, options, facts = the_plan(run), run.journal.options, run.journal.facts
    finding = copies.check(
        run.site.postgres,
        copy_of(run),
        run.console,
        everything=bool(options.get("check_everything")),
        size=plan.backup_size,
    )
    if finding["system_id"] != plan.system_id:
        raise OperatorError(
            f"The system identifier is {finding['system_id']}, the backup's is {plan.system_id}.",
            CHANGED_NOTHING,
        )
    timeline = facts.get("timeline") or 0
    if timeline <= plan.timeline:
        raise OperatorError(
            f"The timeline is {timeline}, not one after {plan.timeline}.", CHANGED_NOTHING
        )
    if finding["damaged"]:
        if not options.get("accept_damage"):
            raise refusal(finding, plan)
        run.remember(damaged=finding["damaged"])
    said = [
        f"timeline {timeline}, {finding['databases']} databases, checksums {finding['checksums']}",
        describe(finding),
    ]
    if finding["invalid"]:
        said.append(f"left as they are, half dropped: {', '.join(finding['invalid'])}")
    if finding["prepared"]:
        said.append(f"prepared transactions hold their locks: {', '.join(finding['prepared'])}")
    return "; ".join(said)


def describe(finding: Mapping[str, Any]) -> str:
    """For the line under the step."""
    number, read = finding["read"]
    text = f"pg_amcheck read {number} tables and indexes ({size(read)})"
    number, left_out = finding["left_out"]
    if number:
        text += (
            f"; NOT read: {number} ({size(left_out)}), the largest is "
            f"{finding['largest_left_out']} (--check-everything reads all)"
        )
    for database, reason in finding["unchecked"].items():
        text += f"; could NOT be checked: {database} ({reason})"
    if finding["damaged"]:
        return f"{text}; DAMAGED: {', '.join(finding['damaged'])}"
    return f"{text}: all sound"


def refusal(finding: Mapping[str, Any], plan: Plan) -> OperatorError:
    """Damage in the restored data."""
    other = "an older --backup-id   (python -m ops backups)"
    if plan.local:
        other = f"--backup-id {plan.barman_backup_id}   (which Barman has)"
    return OperatorError(
        f"The restored data is damaged: {', '.join(finding['damaged'])}. pg_amcheck says:\n"
        f"{finding['words'].strip()[:1500]}\n",
        "The check did not change the restored data.",
        next_command=f"the same with {other}, or with --accept-damage to get the data as it is",
    )
