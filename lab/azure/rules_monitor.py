"""What Azure Monitor refuses about action groups and alert rules without looking further."""

import re
from collections.abc import Iterator
from typing import Any

from lab.azure import arm_types as types
from lab.azure.arm_id import parse
from lab.azure.errors import AzureError
from lab.azure.validate import items, known
from lab.rpc.provider import Failure

Properties = dict[str, Any]

_MINUTES = {"PT1M": 1, "PT5M": 5, "PT15M": 15, "PT30M": 30, "PT1H": 60}
# Without an agent, and emitted by the host: the one metric that tells whether a VM runs.
_VM_METRICS = frozenset({"VmAvailabilityMetric", "Percentage CPU"})


def action_group(p: Properties) -> Iterator[Failure]:
    short = known(p, "groupShortName")
    if short is not None and len(short) > 12:
        yield Failure(
            "groupShortName",
            "InvalidActionGroupShortName: The short name must be at most 12 characters long.",
        )
    yield from _global(p)
    for index, receiver in enumerate(items(p, "emailReceivers")):
        address = known(receiver, "emailAddress")
        if address is not None and not re.fullmatch(r"[^@\s]+@[^@\s]+", address):
            yield Failure(
                f"emailReceivers[{index}].emailAddress",
                "InvalidEmailAddress: The email address is not valid.",
            )


def metric_alert(p: Properties) -> Iterator[Failure]:
    severity = known(p, "severity")
    if severity is not None and not 0 <= severity <= 4:
        yield Failure("severity", "BadRequest: The severity must be between 0 and 4.")
    yield from _global(p)
    scopes = known(p, "scopes")
    if scopes is not None and len(scopes) != 1:
        yield Failure(
            "scopes", "BadRequest: criteria for a single resource need exactly one scope."
        )
    yield from _virtual_machines(p)
    every, window = known(p, "evaluationFrequency"), known(p, "windowSize")
    if every in _MINUTES and window in _MINUTES and _MINUTES[window] < _MINUTES[every]:
        yield Failure(
            "windowSize", "BadRequest: windowSize must not be shorter than evaluationFrequency."
        )
    for index, criterion in enumerate(items(p, "criteria", "allOf")):
        metric = known(criterion, "metricName")
        if metric is not None and metric not in _VM_METRICS:
            yield Failure(
                f"criteria.allOf[{index}].metricName",
                f"BadRequest: Couldn't find a metric named {metric}.",
            )


def activity_log_alert(p: Properties) -> Iterator[Failure]:
    yield from _global(p)
    yield from _virtual_machines(p)
    conditions = items(p, "condition", "allOf")
    for index, condition in enumerate(conditions):
        leaf = "field" in condition or "equals" in condition
        if leaf == ("anyOf" in condition):
            yield Failure(
                f"condition.allOf[{index}]",
                "BadRequest: a condition has either field and equals, or anyOf alone.",
            )
    if conditions and not any(known(one, "field") == "category" for one in conditions):
        yield Failure("condition", "BadRequest: one condition must be on the field 'category'.")


def _global(p: Properties) -> Iterator[Failure]:
    location = known(p, "location")
    if location is not None and location.lower() != "global":
        yield Failure("location", "LocationNotAvailableForResourceType: use the location global.")


def _virtual_machines(p: Properties) -> Iterator[Failure]:
    """The lab knows nothing else that has metrics or a state of health."""
    for index, scope in enumerate(items(p, "scopes")):
        try:
            fits = parse(scope).type.lower() == types.VM.lower()
        except AzureError:
            fits = False
        if not fits:
            yield Failure(f"scopes[{index}]", f"BadRequest: {scope} is not a virtual machine.")
