"""What a cron expression means in time: is it valid, and how long can it leave us without."""

import re
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import islice, pairwise

from cronsim import CronSim, CronSimError

# A leap year's first instant: every weekday and month pattern shows within the runs looked at.
_REFERENCE = datetime(2024, 1, 1, tzinfo=UTC)
_RUNS = 400
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
# crontab(5) of Debian's cron: names stand alone, and a step goes with a range.
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_PART = re.compile(
    r"(?:(?P<all>\*)|(?P<low>\d{1,2})-(?P<high>\d{1,2}))(?:/(?P<step>\d{1,2}))?"
    r"|(?P<only>\d{1,2})"
)


def check(expression: str) -> str:
    """Return the five-field cron expression unchanged. Raises ValueError when Debian's cron would
    not take it: it ignores a whole file in which one line is wrong."""
    fields = expression.split(" ")
    if len(fields) != len(_FIELDS):
        raise ValueError("needs exactly five fields, such as '0 4 * * *'")
    for text, (name, first, last, names) in zip(fields, _FIELDS, strict=True):
        if text.lower() not in names and not all(
            _taken(part, first, last) for part in text.split(",")
        ):
            raise ValueError(
                f"not a cron expression: {text!r} is no {name} ({first} to {last}); five fields "
                "such as '0 4 * * *' are"
            )
    try:
        next(CronSim(expression, _REFERENCE))
    except CronSimError as error:
        raise ValueError(
            f"not a cron expression ({error}); five fields such as '0 4 * * *' are"
        ) from None
    except StopIteration:
        raise ValueError("never comes due; '0 4 * * *' does every night at 04:00") from None
    return expression


def _taken(part: str, first: int, last: int) -> bool:
    """Whether cron takes this for a number, a range or all of them, with a step or without."""
    found = _PART.fullmatch(part)
    if not found:
        return False
    low = first if found["all"] else int(found["only"] or found["low"])
    high = last if found["all"] else int(found["only"] or found["high"])
    step = int(found["step"] or 1)
    return first <= low <= high <= last and 1 <= step <= last


_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def on_calendar(expression: str) -> str:
    """A valid cron expression of numbers, in the words of systemd's OnCalendar, in UTC.

    Raises ValueError for the few that systemd cannot say: names of months or days, and a day of
    the month beside a day of the week, of which cron takes either and systemd both.
    """
    minute, hour, day, month, weekday = expression.split()
    if not all(set(field) <= set("0123456789*,-/") for field in expression.split()):
        raise ValueError("write months and days of the week as numbers, such as '0 12 * * 0'")
    if day != "*" and weekday != "*":
        raise ValueError("name a day of the month or a day of the week, not both")
    days = "" if weekday == "*" else f"{_weekdays(weekday)} "
    date = f"*-{_field(month, 1)}-{_field(day, 1)}"
    return f"{days}{date} {_field(hour, 0)}:{_field(minute, 0)}:00 UTC"


def _field(text: str, first: int) -> str:
    """One of cron's fields: lists, ranges and steps, the latter from `first` on."""
    return ",".join(part.replace("*/", f"{first}/").replace("-", "..") for part in text.split(","))


def _weekdays(text: str) -> str:
    if "/" in text:
        raise ValueError("name the days of the week one by one, such as '0 12 * * 1,4'")
    return ",".join(
        "..".join(_WEEKDAYS[int(day)] for day in part.split("-")) for part in text.split(",")
    )


# Everything that is sized by it asks for it, and each time 400 runs would be worked out.
@cache
def longest_interval(expression: str) -> timedelta:
    """The longest time between two runs of a valid cron expression."""
    runs = islice(CronSim(expression, _REFERENCE), _RUNS)
    return max(later - earlier for earlier, later in pairwise(runs))
