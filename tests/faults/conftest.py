"""One stack for the whole matrix, brought up with commits that wait; the report at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.net import client
from tests.faults.report import Report
from tests.faults.site import FALLBACK_AFTER_S, Site
from tests.lab.stack import CHECKOUT, Stack, copy_checkout

IMAGE = "debian-13"


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, up, in a lab of its own."""
    made = Stack(
        copy_checkout(
            tmp_path_factory.mktemp("faults"),
            image=IMAGE,
            durability="sync-with-fallback",
            fallbackAfterSeconds=FALLBACK_AFTER_S,
        )
    )
    try:
        made.lab_command("up")
        yield made
    finally:
        made.lab_command("down", "--yes-delete-data", check=False)


@pytest.fixture(scope="package")
def pair(stack: Stack) -> Iterator[Site]:
    """Both machines and a client inside clientCidrs."""
    attached = client.attach(stack.lab, "faults", "10.30.0.19/24")
    try:
        yield Site(stack, attached)
    finally:
        attached.detach()


@pytest.fixture
def site(pair: Site) -> Site:
    """The pair, protected and with an empty ledger."""
    pair.until_protected()
    pair.new_ledger()
    return pair


@pytest.fixture(scope="package")
def report(request: pytest.FixtureRequest) -> Iterator[Report]:
    """Written only by a run in which the whole folder was run and passed."""
    made = Report(FALLBACK_AFTER_S)
    failed_before = request.session.testsfailed
    yield made
    config = request.config
    whole = any(Path(word).resolve() == Path(__file__).parent for word in config.args)
    chosen = bool(config.option.keyword or config.option.markexpr)
    ours = [item for item in request.session.items if "tests/faults" in str(item.path)]
    passed = request.session.testsfailed == failed_before
    if whole and not chosen and len(made.rows) == len(ours) and passed:
        (CHECKOUT / "docs" / "faults.md").write_text(made.text())
