"""What Azure itself watches from outside: whether the two machines run."""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import monitor

# Azure Monitor's rules and groups belong to no region.
_LOCATION = "global"
_CRITICAL = 0


@dataclass(frozen=True)
class AlertsArgs:
    """`email` is notified; `machines` are the VMs' resource ids by role."""

    prefix: str
    resource_group_name: pulumi.Input[str]
    email: str
    machines: Mapping[str, pulumi.Input[str]]
    tags: Mapping[str, str]


class Alerts(pulumi.ComponentResource):
    """An action group, and for each machine an alert on its availability.

    The metric is 0 for a machine that is down, and missing for one that was stopped from outside,
    on which a metric alert stays as it was; so Resource Health's verdict is an alert as well
    (docs/azure-assumptions.md).
    """

    def __init__(
        self, name: str, args: AlertsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("postgres-barman:index:Alerts", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        group = monitor.ActionGroup(
            f"{name}-operators",
            action_group_name=f"{args.prefix}-operators",
            resource_group_name=args.resource_group_name,
            location=_LOCATION,
            # At most 12 characters; it begins text messages.
            group_short_name="pg-barman",
            enabled=True,
            email_receivers=[
                monitor.MicrosoftCommonEmailReceiverArgs(
                    name="operators", email_address=args.email, use_common_alert_schema=True
                )
            ],
            tags=args.tags,
            opts=child,
        )
        for role, machine in args.machines.items():
            monitor.MetricAlert(
                f"{name}-{role}-available",
                rule_name=f"{args.prefix}-{role}-available",
                resource_group_name=args.resource_group_name,
                location=_LOCATION,
                description=f"The {role} machine does not run "
                "(docs/runbooks/a-machine-does-not-answer.md).",
                enabled=True,
                severity=_CRITICAL,
                scopes=[machine],
                evaluation_frequency="PT1M",
                window_size="PT5M",
                criteria=monitor.MetricAlertSingleResourceMultipleMetricCriteriaArgs(
                    odata_type="Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria",
                    all_of=[
                        monitor.MetricCriteriaArgs(
                            criterion_type="StaticThresholdCriterion",
                            name="available",
                            metric_namespace="Microsoft.Compute/virtualMachines",
                            metric_name="VmAvailabilityMetric",
                            operator=monitor.Operator.LESS_THAN,
                            threshold=1,
                            time_aggregation=monitor.AggregationTypeEnum.AVERAGE,
                        )
                    ],
                ),
                auto_mitigate=True,
                actions=[monitor.MetricAlertActionArgs(action_group_id=group.id)],
                tags=args.tags,
                opts=child,
            )
        monitor.ActivityLogAlert(
            f"{name}-health",
            activity_log_alert_name=f"{args.prefix}-health",
            resource_group_name=args.resource_group_name,
            location=_LOCATION,
            description="A machine was stopped, or Azure no longer knows how it is "
            "(docs/runbooks/a-machine-does-not-answer.md).",
            enabled=True,
            scopes=list(args.machines.values()),
            condition=monitor.AlertRuleAllOfConditionArgs(
                all_of=[
                    monitor.AlertRuleAnyOfOrLeafConditionArgs(
                        field="category", equals="ResourceHealth"
                    ),
                    monitor.AlertRuleAnyOfOrLeafConditionArgs(
                        any_of=[
                            monitor.AlertRuleLeafConditionArgs(
                                field="properties.currentHealthStatus", equals=status
                            )
                            for status in ("Unavailable", "Unknown", "Degraded")
                        ]
                    ),
                ]
            ),
            actions=monitor.ActionListArgs(
                action_groups=[monitor.ActionGroupArgs(action_group_id=group.id)]
            ),
            tags=args.tags,
            opts=child,
        )
        self.register_outputs({})
