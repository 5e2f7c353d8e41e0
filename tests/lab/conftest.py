"""One whole stack for all tests of this folder: this checkout, copied, and stood up for real.

A copy has a lab of its own, so tests never meet the one that a developer works with.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.domain.quoting import pgpass_field
from lab.net import client, fabric
from settings.images import IMAGES
from tests.support import managed_data
from tests.support.alerts import Inbox, watched
from tests.support.application import Application
from tests.support.checkout import copy_checkout
from tests.support.managed_service import ADMIN, PASSWORD, ManagedService, managed_service
from tests.support.mover import Mover
from tests.support.site import Site, with_client
from tests.support.stack import Stack, standing
from tests.support.untidy import make_untidy


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--image",
        default="debian-13",
        choices=sorted(IMAGES),
        help="the machines' operating system: a value of the program's setting `image`",
    )


@pytest.fixture(scope="session")
def image(pytestconfig: pytest.Config) -> str:
    """The operating system that this run tests on."""
    return str(pytestconfig.getoption("image"))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Stack]:
    """The stack, up, with a database that is not a tidy one."""
    if os.geteuid() != 0:
        pytest.fail("the end-to-end tests need root; type: sudo make test-lab")
    with standing(copy_checkout(tmp_path_factory.mktemp("checkout"), image=image)) as made:
        make_untidy(made)
        yield made


@pytest.fixture(scope="session")
def managed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ManagedService]:
    """Another server, which a team wants to leave."""
    if os.geteuid() != 0:
        pytest.fail("the end-to-end tests need root; type: sudo make test-lab")
    with managed_service(tmp_path_factory.mktemp("managed")) as made:
        managed_data.fill(made.sql)
        yield made


@pytest.fixture(scope="session")
def passfile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The operator's, for whatever server is left."""
    path = tmp_path_factory.mktemp("operator") / "old.pgpass"
    path.write_text(f"*:*:*:{ADMIN}:{pgpass_field(PASSWORD)}\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="session")
def mover(stack: Stack, managed: ManagedService, passfile: Path) -> Mover:
    """Who moves in from there."""
    return Mover(stack, managed, passfile)


@pytest.fixture(scope="module")
def followable(managed: ManagedService) -> Iterator[None]:
    """What the plan asks for has been done at the source."""
    managed.let_replicate(True)
    with managed.parameter("wal_level", "logical"):
        yield
    managed.let_replicate(False)


@pytest.fixture
def application(stack: Stack) -> Iterator[Application]:
    """A client inside clientCidrs."""
    attached = client.attach(stack.lab, "app", "10.30.0.9/24")
    try:
        yield Application(attached, stack.outputs["databases"]["app"]["uri"])
    finally:
        attached.detach()


@pytest.fixture(scope="module")
def site(stack: Stack) -> Iterator[Site]:
    """The stack with a client of its own, for what happens to rows."""
    with with_client(stack) as writable:
        yield writable


@pytest.fixture
def unverified(stack: Stack) -> Iterator[None]:
    """No hourly verification, which would find a damaged backup before the test does, or have found
    it sound just before it is damaged."""
    stack.on("barman-lab", "systemctl stop backup-verify.timer backup-verify.service")
    yield
    stack.on("barman-lab", "systemctl start backup-verify.timer")


@pytest.fixture(scope="module")
def inbox(stack: Stack) -> Iterator[Inbox]:
    """Where alerts arrive, from a stack whose rules wait for seconds."""
    with watched(stack, fabric.internet(stack.lab).host_address) as made:
        yield made
