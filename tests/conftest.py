"""Depth: what is not marked as deep is core."""

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.get_closest_marker("deep"):
            item.add_marker(pytest.mark.core)
