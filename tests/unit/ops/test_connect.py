"""Connections to both machines: who waits for which, and what an unknown host key ends."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import cast

import pytest

from ops.errors import OperatorError
from ops.reach.outputs import StackOutputs
from ops.reach.ssh import connect
from tests.unit.ops.test_outputs import machine, stack
from tests.unit.ssh_server import Server, authorized, new_key, serving

PRIVATE, CLIENT = new_key()


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    """PostgreSQL's machine and Barman's."""
    with ExitStack() as running:
        postgres, barman = (
            running.enter_context(serving(Server([new_key()[1]], CLIENT))) for _ in range(2)
        )
        yield postgres, barman


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def outputs(postgres: Server, barman: Server, jump: bool = True, **changed: object) -> StackOutputs:
    def reached(name: str, server: Server, private: str) -> dict[str, object]:
        return machine(
            name=name,
            sshAddress="127.0.0.1",
            sshPort=server.port,
            privateAddress=private,
            hostKey=authorized(server.host_keys[0]),
        )

    return StackOutputs.model_validate(
        stack(
            postgres=reached("postgres", postgres, "127.0.0.1") | changed,
            barman=reached("barman", barman, "10.20.2.4" if jump else "127.0.0.1"),
            sshPrivateKey=PRIVATE,
        )
    )


@pytest.mark.parametrize("jump", [True, False])
@pytest.mark.parametrize("at_once", [True, False])
def test_both_are_reached(servers: tuple[Server, Server], jump: bool, at_once: bool) -> None:
    found = outputs(*servers, jump)
    with connect(found, at_once=at_once) as site:
        assert site.reaches(found.barman)
        assert site.reaches(found.postgres)
        assert (site.postgres.name, site.barman.name) == ("postgres", "barman")
        lines = [site.postgres.transport, site.barman.transport]
        # A command does not wait for the acknowledgement of the one before.
        wire = cast(socket.socket, site.barman.transport.sock)
        assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert servers[1].forwarded == ([servers[0].port] if jump else [])
    assert not any(line.is_active() for line in lines)


def test_barman_is_there_while_postgres_is_still_connected_to(
    servers: tuple[Server, Server], silent: int
) -> None:
    found = outputs(*servers, sshPort=silent)
    with connect(found, at_once=True) as site:
        assert site.barman.transport.is_active()
        assert site.unreachable == {}


def test_a_machine_that_is_down_is_unreachable_and_the_other_one_is_not(
    servers: tuple[Server, Server],
) -> None:
    postgres, barman = servers
    found = outputs(Server(postgres.host_keys, CLIENT, port=1), barman, jump=False)
    with connect(found) as site:
        assert site.reaches(found.barman)
        assert not site.reaches(found.postgres)
        with pytest.raises(OperatorError, match=r"postgres cannot be reached: 127.0.0.1:1: "):
            _ = site.postgres


def test_nothing_is_reached_without_the_jump_host(servers: tuple[Server, Server]) -> None:
    postgres, barman = servers
    found = outputs(postgres, Server(barman.host_keys, CLIENT, port=1))
    with connect(found) as site:
        assert not site.reaches(found.barman)
        assert not site.reaches(found.postgres)
        assert "jump host, barman, cannot be reached" in site.unreachable["postgres"]
    assert postgres.forwarded == []


def test_another_host_key_ends_the_command_before_it_begins(
    servers: tuple[Server, Server],
) -> None:
    found = outputs(*servers, hostKey=authorized(new_key()[1]))
    with pytest.raises(OperatorError, match="host key of postgres"), connect(found):
        raise AssertionError("a command has begun")


def test_another_host_key_ends_a_command_that_has_begun_where_it_needs_the_machine(
    servers: tuple[Server, Server],
) -> None:
    found = outputs(*servers, hostKey=authorized(new_key()[1]))
    with (
        pytest.raises(OperatorError, match="host key of postgres"),
        connect(found, at_once=True) as site,
    ):
        assert site.reaches(found.barman)
        site.reaches(found.postgres)
