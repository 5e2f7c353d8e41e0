"""Small bar charts: one bar an event, the highest as high as the chart. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

# Percent of its place that a bar takes; the rest keeps it apart from the next.
BAR_SHARE = 70.0
# A value above nothing is seen, however small it is beside the highest.
LEAST_HEIGHT = 2.0
# Room at both ends: the words above a bar are wider than it is on a phone.
MARGIN = 3.0


@dataclass(frozen=True)
class Value:
    """One event. `amount` None: it has none, it failed. `text` says everything in words, `label`
    stands below the bar and `shown`, the amount for people, above it."""

    amount: float | None
    text: str
    label: str
    shown: str


@dataclass(frozen=True)
class Column:
    """Its bar: `x` and `width` in percent of the width, `height` in percent of the height."""

    x: float
    width: float
    height: float
    failed: bool
    text: str
    label: str
    value: str

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


@dataclass(frozen=True)
class Chart:
    columns: tuple[Column, ...]

    @property
    def facts(self) -> list[str]:
        """The same in words."""
        return [f"{column.text}." for column in self.columns]


def chart(values: Sequence[Value]) -> Chart | None:
    """Bars from left to right; None without values."""
    if not values:
        return None
    # A few bars do not become as wide as the page.
    place = (100 - 2 * MARGIN) / max(len(values), 8)
    highest = max((value.amount or 0.0 for value in values), default=0.0)
    return Chart(
        tuple(
            Column(
                x=MARGIN + index * place + place * (100 - BAR_SHARE) / 200,
                width=place * BAR_SHARE / 100,
                height=_height(value.amount, highest),
                failed=value.amount is None,
                text=value.text,
                label=value.label,
                value=value.shown,
            )
            for index, value in enumerate(values)
        )
    )


def _height(amount: float | None, highest: float) -> float:
    if not amount or highest <= 0:
        return 0.0
    return max(100 * amount / highest, LEAST_HEIGHT)
