"""Barman's recovery window as a value."""

import re
from dataclasses import dataclass
from datetime import timedelta

_PATTERN = re.compile(r"^RECOVERY WINDOW OF ([1-9]\d{0,3}) (DAY|WEEK|MONTH)S?$", re.IGNORECASE)
# Barman counts a month as 31 days (barman/retention_policies.py).
_DAYS = {"DAY": 1, "WEEK": 7, "MONTH": 31}


@dataclass(frozen=True)
class RecoveryWindow:
    """How far back recovery reaches; `text` is Barman's retention_policy."""

    text: str
    length: timedelta

    @classmethod
    def parse(cls, text: str) -> "RecoveryWindow":
        """Raises ValueError unless `text` is RECOVERY WINDOW OF <n> DAYS|WEEKS|MONTHS.

        REDUNDANCY is refused: it promises a number of copies and no length of time.
        """
        match = _PATTERN.match(text.strip())
        if not match:
            raise ValueError(
                "not a recovery window; write RECOVERY WINDOW OF 7 DAYS (or WEEKS, MONTHS)"
            )
        count, unit = int(match[1]), match[2].upper()
        return cls(
            text=f"RECOVERY WINDOW OF {count} {unit}S",
            length=timedelta(days=count * _DAYS[unit]),
        )
