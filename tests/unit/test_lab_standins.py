"""The stand-ins behave as the official plugins do; the command one against a real SSH server."""

import base64
import socket
import string
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from components.ssh_agent import stand_in_for_a_dead_one
from lab.rpc.provider import Call, Failure, Log, ProviderError
from lab.rpc.values import UNKNOWN, Secret, plain
from lab.standins.command import Command
from lab.standins.random import Bytes, Password
from lab.standins.ssh import Retry
from lab.standins.strict import StandIn
from tests.unit.ssh_server import Server, authorized, new_key, serving

COMMAND = "command:remote:Command"
PASSWORD = "random:index/randomPassword:RandomPassword"
BYTES = "random:index/randomBytes:RandomBytes"

CLIENT_TEXT, CLIENT = new_key()
_, HOST = new_key()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(Server([paramiko.RSAKey.generate(2048), HOST], CLIENT)) as running:
        yield running


@pytest.fixture
def provider() -> StandIn:
    return StandIn({COMMAND: Command(), PASSWORD: Password(), BYTES: Bytes()})


def call(token: str, preview: bool = False, into: list[str] | None = None) -> Call:
    def send(severity: str, message: str, ephemeral: bool) -> None:
        if into is not None:
            into.append(message)

    return Call(f"urn:pulumi:lab::p::{token}::thing", preview, Log(send), threading.Event())


def connection(server: Server, **more: Any) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": server.port,
        "user": "me",
        "privateKey": CLIENT_TEXT,
        "hostKey": authorized(HOST),
        "dialErrorLimit": 0,
        **more,
    }


def settled(provider: StandIn, **inputs: Any) -> dict[str, Any]:
    checked, failures = provider.check(call(COMMAND), {}, inputs)
    assert failures == []
    return checked


def test_a_command_gets_stdin_and_gives_both_outputs(provider: StandIn, server: Server) -> None:
    inputs = settled(
        provider, connection=connection(server), create="cat; echo; echo no >&2", stdin="word"
    )
    identity, state = provider.create(call(COMMAND), inputs)
    assert identity.startswith("thing") and len(identity) == len("thing") + 8
    assert (state["stdout"], state["stderr"]) == ("word", "no")
    assert isinstance(state["connection"], Secret)


def test_much_of_everything_passes(provider: StandIn, server: Server) -> None:
    inputs = settled(
        provider, connection=connection(server), create="cat", stdin="0123456789" * 300_000
    )
    assert len(provider.create(call(COMMAND), inputs)[1]["stdout"]) == 3_000_000


def test_a_failing_command_is_quoted_with_its_output(provider: StandIn, server: Server) -> None:
    inputs = settled(provider, connection=connection(server), create='echo "so"; exit 3')
    with pytest.raises(ProviderError) as error:
        provider.create(call(COMMAND), inputs)
    assert str(error.value) == (
        'Process exited with status 3: running "echo \\"so\\"; exit 3":\nso\n'
    )


@pytest.mark.parametrize(
    ("logging", "lines"),
    [
        (None, {"one", "two", "err"}),
        ("stdout", {"one", "two"}),
        ("stderr", {"err"}),
        ("none", set()),
        ("stdoutAndStderr", {"one", "two", "err"}),
    ],
)
def test_output_is_logged_line_by_line(
    provider: StandIn, server: Server, logging: str | None, lines: set[str]
) -> None:
    inputs = settled(
        provider,
        connection=connection(server),
        create="printf 'one\\ntwo'; echo err >&2",
        **({"logging": logging} if logging else {}),
    )
    heard: list[str] = []
    provider.create(call(COMMAND, into=heard), inputs)
    assert set(heard) == lines


def test_a_pinned_host_key_is_the_only_one_accepted(provider: StandIn, server: Server) -> None:
    _, another = new_key()
    inputs = settled(
        provider, connection=connection(server, hostKey=authorized(another)), create="true"
    )
    with pytest.raises(ProviderError, match="host key mismatch"):
        provider.create(call(COMMAND), inputs)
    inputs = settled(provider, connection=connection(server, hostKey=None), create="true")
    provider.create(call(COMMAND), inputs)


def test_dialling_is_tried_again_as_often_as_allowed(provider: StandIn) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unheard:
        port = unheard.getsockname()[1]
    target = {"host": "127.0.0.1", "port": port, "privateKey": CLIENT_TEXT, "dialErrorLimit": 2}
    inputs = settled(provider, connection=target, create="true")
    heard: list[str] = []
    started = time.monotonic()
    with pytest.raises(ProviderError, match="after 2 failed attempts: ConnectionRefusedError"):
        provider.create(call(COMMAND, into=heard), inputs)
    assert heard == ["Dial 1/2 failed: retrying", "Dial 2/2 failed: retrying"]
    assert time.monotonic() - started >= 0.1 + 0.15


def test_the_default_limit_takes_about_eleven_seconds() -> None:
    waits: list[float] = []

    class Clock(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0)
            return False

    def never() -> None:
        raise OSError("no")

    with pytest.raises(ProviderError):
        Retry(lambda _: None, Clock()).until("Dial", 10, never)
    assert (len(waits), round(sum(waits))) == (10, 11)


def test_waiting_ends_when_the_engine_cancels(provider: StandIn) -> None:
    target = {"host": "127.0.0.1", "port": 1, "privateKey": CLIENT_TEXT, "dialErrorLimit": -1}
    inputs = settled(provider, connection=target, create="true")
    waiting = call(COMMAND)
    waiting.cancelled.set()
    with pytest.raises(ProviderError, match="context canceled"):
        provider.create(waiting, inputs)


def test_a_proxy_is_passed_through(provider: StandIn, server: Server) -> None:
    client_text, client = new_key()
    with serving(Server([HOST], client)) as jump:
        proxy = {**connection(jump), "privateKey": client_text}
        inputs = settled(provider, connection=connection(server, proxy=proxy), create="echo hi")
        assert provider.create(call(COMMAND), inputs)[1]["stdout"] == "hi"
        assert jump.forwarded == [server.port]
        nowhere = connection(server, proxy=proxy, port=1)
        with pytest.raises(ProviderError, match=r"^proxy: after 0 failed attempts"):
            provider.create(call(COMMAND), settled(provider, connection=nowhere, create="true"))


def test_updates_fall_back_to_create_and_triggers_replace(
    provider: StandIn, server: Server
) -> None:
    inputs = settled(provider, connection=connection(server), create="echo a", triggers=[1])
    _, state = provider.create(call(COMMAND), inputs)
    assert provider.diff(call(COMMAND), state, inputs, inputs).changes == {}
    changed = {**inputs, "create": "echo b"}
    found = provider.diff(call(COMMAND), state, inputs, changed)
    assert [(path, c.replace) for path, c in found.changes.items()] == [("create", False)]
    state = provider.update(call(COMMAND), "thing", state, inputs, changed)
    assert state["stdout"] == "b"
    state = provider.update(call(COMMAND), "thing", state, inputs, {**changed, "update": "echo c"})
    assert state["stdout"] == "c"
    triggered = provider.diff(call(COMMAND), state, inputs, {**inputs, "triggers": [2]})
    assert triggered.changes["triggers[0]"].replace and not triggered.delete_before_replace


def test_previous_outputs_are_offered_unless_unwanted(provider: StandIn, server: Server) -> None:
    inputs = settled(provider, connection=connection(server), create="echo out")
    _, state = provider.create(call(COMMAND), inputs)
    server.environment.clear()
    provider.update(call(COMMAND), "thing", state, inputs, inputs)
    assert server.environment == {"PULUMI_COMMAND_STDOUT": "out"}
    server.environment.clear()
    quiet = {**inputs, "addPreviousOutputInEnv": False}
    provider.update(call(COMMAND), "thing", state, inputs, quiet)
    assert server.environment == {}


def test_delete_runs_its_command_if_there_is_one(
    provider: StandIn, server: Server, tmp_path: Any
) -> None:
    inputs = settled(provider, connection=connection(server), create="true")
    _, state = provider.create(call(COMMAND), inputs)
    provider.delete(call(COMMAND), "thing", state)
    provider.delete(call(COMMAND), "thing", {**state, "delete": f"touch {tmp_path}/gone"})
    assert (tmp_path / "gone").exists()


def test_a_preview_runs_nothing(provider: StandIn) -> None:
    inputs = settled(provider, connection={"host": UNKNOWN}, create="false")
    _, state = provider.create(call(COMMAND, preview=True), inputs)
    assert (state["stdout"], state["stderr"]) == (UNKNOWN, UNKNOWN)
    state = {**inputs, "stdout": "a", "stderr": ""}
    planned = provider.update(call(COMMAND, preview=True), "thing", state, inputs, inputs)
    assert planned["stdout"] is UNKNOWN
    whole = settled(provider, connection=UNKNOWN, create="false")
    assert whole["connection"] == Secret(UNKNOWN)


def test_a_dead_agent_ends_it_though_there_is_a_key(
    provider: StandIn, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = settled(provider, connection=connection(server), create="true")
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent.1"))
    with pytest.raises(ProviderError, match="dial unix"):
        provider.create(call(COMMAND), inputs)
    stand_in_for_a_dead_one(str(tmp_path / "agent.1"))
    provider.create(call(COMMAND), inputs)


def test_secrets_are_marked_where_the_official_plugin_marks_them(provider: StandIn) -> None:
    """Schema of pulumi-command 1.2.1, and infer/apply_secrets.go of pulumi-go-provider 1.3.0."""
    host = {"host": "a", "privateKey": "k", "password": "p", "privateKeyPassword": "q"}
    inputs = settled(provider, connection=Secret({**host, "proxy": host}), create="true")
    marked = {"privateKey": Secret("k"), "password": Secret("p"), "privateKeyPassword": Secret("q")}
    defaults = {"user": "root", "port": 22, "dialErrorLimit": 10, "perDialTimeout": 15}
    filled = {"host": "a", **defaults, **marked}
    assert inputs["connection"] == Secret({**filled, "proxy": filled})


def test_a_state_whose_secrets_are_marked_otherwise_is_no_change(provider: StandIn) -> None:
    inputs = settled(provider, connection={"host": "a", "privateKey": "k"}, create="true")
    state = {**inputs, "connection": Secret(plain(inputs["connection"]))}
    assert provider.diff(call(COMMAND), state, state, inputs).changes == {}


def test_what_the_official_plugin_does_not_know_is_refused(provider: StandIn) -> None:
    _, failures = provider.check(call(COMMAND), {}, {"connection": {"host": "a", "sudo": True}})
    assert [f.path for f in failures] == ["connection.sudo"]
    _, failures = provider.check(call(COMMAND), {}, {"create": "true"})
    assert [f.path for f in failures] == ["connection"]
    with pytest.raises(ProviderError, match="no command:local:Command"):
        provider.check(call("command:local:Command"), {}, {})


def test_a_password_is_as_asked_for(provider: StandIn) -> None:
    inputs = {"length": 40, "special": False, "minNumeric": 20}
    identity, state = provider.create(call(PASSWORD), inputs)
    result = plain(state["result"])
    assert (identity, len(result)) == ("none", 40)
    assert isinstance(state["result"], Secret) and isinstance(state["bcryptHash"], Secret)
    assert set(result) <= set(string.ascii_letters + string.digits)
    assert sum(c.isdigit() for c in result) >= 20
    _, state = provider.create(call(PASSWORD), {**inputs, "special": True, "overrideSpecial": "-"})
    assert set(plain(state["result"])) <= set(string.ascii_letters + string.digits + "-")


@pytest.mark.parametrize(
    "inputs",
    [
        {"length": 0},
        {"length": 3, "minLower": 2, "minUpper": 2},
        {"length": 8, "lower": False, "upper": False, "numeric": False, "special": False},
        {"length": 8, "entropy": True},
        {},
    ],
)
def test_a_password_that_cannot_be(provider: StandIn, inputs: dict[str, Any]) -> None:
    failures: list[Failure] = provider.check(call(PASSWORD), {}, inputs)[1]
    assert len(failures) == 1


def test_bytes_are_their_own_id_as_in_the_official_plugin(provider: StandIn) -> None:
    identity, state = provider.create(call(BYTES), {"length": 32})
    assert base64.b64decode(identity).hex() == plain(state["hex"])
    assert isinstance(state["base64"], Secret) and isinstance(state["hex"], Secret)


@pytest.mark.parametrize("token", [PASSWORD, BYTES])
def test_random_values_last_until_an_input_changes(provider: StandIn, token: str) -> None:
    inputs = {"length": 8, "keepers": {"a": "1"}}
    _, state = provider.create(call(token), inputs)
    assert provider.diff(call(token), state, inputs, inputs).changes == {}
    found = provider.diff(call(token), state, inputs, {"length": 8, "keepers": {"a": "2"}})
    assert found.changes["keepers.a"].replace
    preview = provider.create(call(token, preview=True), inputs)
    assert preview[0] == "" and Secret(UNKNOWN) in preview[1].values()


def test_a_default_that_is_spelled_out_changes_nothing(provider: StandIn) -> None:
    inputs = {"length": 8}
    _, state = provider.create(call(PASSWORD), inputs)
    assert provider.diff(call(PASSWORD), state, inputs, {"length": 8, "lower": True}).changes == {}
