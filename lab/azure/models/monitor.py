"""Properties of Azure Monitor's action groups and alert rules."""

from typing import ClassVar, Literal

from lab.azure.models.base import Name, Resource, Strict, Text

Duration = Literal["PT1M", "PT5M", "PT15M", "PT30M", "PT1H"]


class EmailReceiver(Strict):
    sdk: ClassVar[str] = "monitor.MicrosoftCommonEmailReceiverArgs"

    name: Name
    emailAddress: Text
    useCommonAlertSchema: bool | None = None


class ActionGroup(Resource):
    sdk: ClassVar[str] = "monitor.ActionGroupInitArgs"

    actionGroupName: Name
    groupShortName: Text
    enabled: bool
    emailReceivers: list[EmailReceiver] | None = None


class MetricCriteria(Strict):
    sdk: ClassVar[str] = "monitor.MetricCriteriaArgs"

    criterionType: Literal["StaticThresholdCriterion"]
    name: Text
    metricName: Text
    metricNamespace: Text | None = None
    operator: Literal["Equals", "GreaterThan", "GreaterThanOrEqual", "LessThan", "LessThanOrEqual"]
    threshold: float | int
    timeAggregation: Literal["Average", "Count", "Minimum", "Maximum", "Total"]


class Criteria(Strict):
    sdk: ClassVar[str] = "monitor.MetricAlertSingleResourceMultipleMetricCriteriaArgs"

    odataType: Literal["Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria"]
    allOf: list[MetricCriteria]


class MetricAction(Strict):
    sdk: ClassVar[str] = "monitor.MetricAlertActionArgs"

    actionGroupId: Text


class MetricAlert(Resource):
    sdk: ClassVar[str] = "monitor.MetricAlertArgs"

    ruleName: Name
    description: str | None = None
    enabled: bool
    severity: int
    scopes: list[Text]
    evaluationFrequency: Duration
    windowSize: Duration
    criteria: Criteria
    actions: list[MetricAction] | None = None
    autoMitigate: bool | None = None


class Leaf(Strict):
    sdk: ClassVar[str] = "monitor.AlertRuleLeafConditionArgs"

    field: Text
    equals: Text


class Condition(Strict):
    """Either `field` and `equals`, or `anyOf` alone."""

    sdk: ClassVar[str] = "monitor.AlertRuleAnyOfOrLeafConditionArgs"

    field: Text | None = None
    equals: Text | None = None
    anyOf: list[Leaf] | None = None


class Conditions(Strict):
    sdk: ClassVar[str] = "monitor.AlertRuleAllOfConditionArgs"

    allOf: list[Condition]


class ActivityActionGroup(Strict):
    sdk: ClassVar[str] = "monitor.ActionGroupArgs"

    actionGroupId: Text


class ActivityActions(Strict):
    sdk: ClassVar[str] = "monitor.ActionListArgs"

    actionGroups: list[ActivityActionGroup] | None = None


class ActivityLogAlert(Resource):
    sdk: ClassVar[str] = "monitor.ActivityLogAlertArgs"

    activityLogAlertName: Name
    description: str | None = None
    enabled: bool | None = None
    scopes: list[Text]
    condition: Conditions
    actions: ActivityActions
