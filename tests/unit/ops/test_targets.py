"""The point to recover to, as it is typed."""

import time
from collections.abc import Iterator

import pytest

from ops.archive import targets
from ops.errors import OperatorError


@pytest.fixture(autouse=True)
def zone_of_this_host() -> Iterator[None]:
    """As it was, after the tests that change it."""
    yield
    time.tzset()


@pytest.mark.parametrize(
    ("zone", "read"),
    [("UTC", "2026-05-01 12:00:00+00:00"), ("Atlantic/Reykjavik", "2026-05-01 12:00:00+00:00")],
)
def test_where_it_is_utc_a_time_needs_no_zone(
    monkeypatch: pytest.MonkeyPatch, zone: str, read: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    assert targets.parse(time="2026-05-01 12:00:00").value == read


def test_elsewhere_both_readings_of_a_time_without_a_zone_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Europe/Vienna")
    time.tzset()
    with pytest.raises(OperatorError) as refused:
        targets.parse(time="2026-05-01 12:00:00")
    assert "2026-05-01 12:00:00+00:00   (UTC)" in str(refused.value)
    assert "which is 2026-05-01 10:00:00+00:00" in str(refused.value)
