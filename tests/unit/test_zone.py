"""What is said of another zone before anything is touched."""

import pytest

from components.zone import refusal


@pytest.mark.parametrize(
    ("old", "new", "back"),
    [
        ([], ["1"], "pulumi config rm zone"),
        (["1"], ["2"], "pulumi config set zone 1"),
        (["2"], [], "pulumi config set zone 2"),
    ],
)
def test_another_zone_is_refused_with_the_command_that_takes_it_back(
    old: list[str], new: list[str], back: str
) -> None:
    message = refusal(old, new)
    assert message is not None
    assert back in message and "Nothing was changed" in message


@pytest.mark.parametrize("same", [[], ["3"]])
def test_the_same_zone_is_not(same: list[str]) -> None:
    assert refusal(same, same) is None
