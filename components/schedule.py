"""What a cron expression means in time: is it valid, and how long can it leave us without."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

from cronsim import CronSim, CronSimError

# A leap year's first instant: every weekday and month pattern shows within the runs looked at.
_REFERENCE = datetime(2024, 1, 1, tzinfo=UTC)
_RUNS = 400


def check(expression: str) -> str:
    """Return the five-field cron expression unchanged. Raises ValueError when it is not one."""
    try:
        next(CronSim(expression, _REFERENCE))
    except CronSimError as error:
        raise ValueError(
            f"not a cron expression ({error}); five fields such as '0 4 * * *' are"
        ) from None
    except StopIteration:
        raise ValueError("never comes due; '0 4 * * *' does every night at 04:00") from None
    if len(expression.split()) != 5:
        raise ValueError("needs exactly five fields, such as '0 4 * * *'")
    return expression


def longest_interval(expression: str) -> timedelta:
    """The longest time between two runs of a valid cron expression."""
    runs = islice(CronSim(expression, _REFERENCE), _RUNS)
    return max(later - earlier for earlier, later in pairwise(runs))
