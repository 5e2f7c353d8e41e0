"""Depth: what is not marked as deep is core. And no test fails for being slow."""

import pytest
from hypothesis import settings

# By default an example that takes 200 ms fails: beside a lab that is another machine's doing.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.get_closest_marker("deep"):
            item.add_marker(pytest.mark.core)
