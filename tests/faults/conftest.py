"""One stack for the whole matrix, brought up with commits that wait; the results at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.report import Report
from tests.faults.start import Start
from tests.support.checkout import copy_checkout
from tests.support.site import FALLBACK, FALLBACK_AFTER_S, Site, with_client
from tests.support.stack import Stack, standing
from tests.support.untidy import make_untidy

IMAGE = "debian-13"


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The stack, up, in a lab of its own, with a database that is not a tidy one."""
    checkout = copy_checkout(
        tmp_path_factory.mktemp("faults"),
        image=IMAGE,
        durability=FALLBACK,
        fallbackAfterSeconds=FALLBACK_AFTER_S,
    )
    with standing(checkout) as made:
        make_untidy(made)
        yield made


@pytest.fixture(scope="package")
def pair(stack: Stack) -> Iterator[Site]:
    """Both machines and a client inside clientCidrs."""
    with with_client(stack) as made:
        yield made


@pytest.fixture(scope="package")
def start(pair: Site) -> Start:
    """What brings the pair to where a row begins."""
    return Start(pair)


@pytest.fixture
def site(request: pytest.FixtureRequest, pair: Site, start: Start) -> Site:
    """The pair, whole, at the row's level (fallback, unless the row is marked with another one),
    and with an empty ledger."""
    marker = request.node.get_closest_marker("level")
    start.reach(marker.args[0] if marker else FALLBACK, request.session.testsfailed)
    pair.new_ledger()
    return pair


@pytest.fixture(scope="package")
def report(request: pytest.FixtureRequest) -> Iterator[Report]:
    """Its results are kept only of a run in which the whole folder was run and passed."""
    made = Report(FALLBACK_AFTER_S)
    failed_before = request.session.testsfailed
    yield made
    config = request.config
    whole = any(Path(word).resolve() == Path(__file__).parent for word in config.args)
    chosen = bool(config.option.keyword or config.option.markexpr)
    ours = [item for item in request.session.items if "tests/faults" in str(item.path)]
    passed = request.session.testsfailed == failed_before
    if whole and not chosen and len(made.rows) == len(ours) and passed:
        made.results().store()
