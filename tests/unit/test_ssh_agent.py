"""Where the SSH agent is dead, whoever connects to it goes on without one."""

import socket
from pathlib import Path

import pytest

from components.ssh_agent import stand_in_for_a_dead_one


def heard(path: Path) -> bytes:
    """What is heard at a socket before it is closed from there."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        return client.recv(1)


def abandoned(path: Path) -> None:
    """A socket whose listener is gone."""
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))


def test_an_agent_that_is_gone_is_stood_in_for(tmp_path: Path) -> None:
    path = tmp_path / "ssh-gone" / "agent.1"
    stand_in_for_a_dead_one(str(path))
    assert heard(path) == heard(path) == b""


def test_a_socket_that_nobody_listens_on_is_taken_over(tmp_path: Path) -> None:
    abandoned(path := tmp_path / "agent.1")
    with pytest.raises(ConnectionRefusedError):
        heard(path)
    stand_in_for_a_dead_one(str(path))
    assert heard(path) == b""


def test_a_living_agent_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "agent.1"
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(path))
        agent.listen()
        before = path.stat().st_ino
        stand_in_for_a_dead_one(str(path))
        assert path.stat().st_ino == before
        agent.settimeout(10)
        agent.accept()[0].close()


def test_what_is_no_socket_stays_and_the_operator_hears_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, said = tmp_path / "agent.1", []
    path.write_text("somebody's")
    monkeypatch.setattr("pulumi.log.warn", said.append)
    stand_in_for_a_dead_one(str(path))
    assert path.read_text() == "somebody's"
    assert "env -u SSH_AUTH_SOCK pulumi up" in said[0]


@pytest.mark.parametrize("path", [None, ""])
def test_without_an_agent_there_is_nothing_to_do(path: str | None) -> None:
    stand_in_for_a_dead_one(path)
