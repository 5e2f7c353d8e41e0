"""Stand-in for the `command` plugin: `command:remote:Command`."""

import secrets
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, Literal

from lab.rpc.diff import Diff, compare, top
from lab.rpc.provider import Call, Failure
from lab.rpc.server import serve
from lab.rpc.values import UNKNOWN, Secret, Unknown, plain
from lab.standins.ssh import Retry, execute, failure
from lab.standins.strict import Inputs, StandIn, Values

Logging = Literal["stdout", "stderr", "stdoutAndStderr", "none"]

# Marked as in the official plugin's schema, and inside `connection`, which is secret as a whole:
# it compares marks, too, and would run every command again that a state has with others.
_SECRET = ("password", "privateKey", "privateKeyPassword")
_DEFAULTS = {"user": "root", "port": 22, "dialErrorLimit": 10, "perDialTimeout": 15}


class Proxy(Inputs):
    """How to reach one host. An SSH agent is connected to, as by the official plugin, and never
    asked for a key."""

    host: str
    user: str | None = None
    port: float | None = None
    password: str | None = None
    privateKey: str | None = None
    privateKeyPassword: str | None = None
    agentSocketPath: str | None = None
    hostKey: str | None = None
    dialErrorLimit: int | None = None
    perDialTimeout: int | None = None


class Connection(Proxy):
    proxy: Proxy | None = None


class CommandInputs(Inputs):
    """The stand-in takes no `environment`: an SSH server accepts none unless set up to."""

    connection: Connection
    create: str | None = None
    update: str | None = None
    delete: str | None = None
    stdin: str | None = None
    logging: Logging | None = None
    addPreviousOutputInEnv: bool | None = None
    triggers: list[Any] | None = None


class Command:
    """`create` at first and, without an `update`, after every change; `triggers` replace."""

    model = CommandInputs

    def settle(self, inputs: Values) -> tuple[Values, list[Failure]]:
        connection = _settled(plain(inputs["connection"]))
        return {**inputs, "connection": Secret(connection)}, []

    def diff(self, state: Values, news: Values) -> Diff:
        olds = {name: state[name] for name in CommandInputs.model_fields if name in state}
        return compare(olds, news, lambda path: top(path) == "triggers")

    def create(self, call: Call, inputs: Values) -> tuple[str, Values]:
        identity = call.urn.rsplit("::", 1)[-1] + secrets.token_hex(4)
        return identity, self._run(call, "create", inputs, {"stdout": "", "stderr": ""})

    def update(self, call: Call, state: Values, news: Values) -> Values:
        before = {name: state.get(name, "") for name in ("stdout", "stderr")}
        which = "update" if news.get("update") is not None else "create"
        return self._run(call, which, news, before)

    def delete(self, call: Call, state: Values) -> None:
        before = {name: state.get(name, "") for name in ("stdout", "stderr")}
        self._run(call, "delete", state, before)

    def _run(self, call: Call, which: str, inputs: Values, before: Values) -> Values:
        if call.preview:
            return {**inputs, "stdout": UNKNOWN, "stderr": UNKNOWN}
        bare = plain(inputs)
        command = bare.get(which)
        if command is None:
            return {**inputs, **before}
        output = execute(
            bare["connection"],
            command,
            bare.get("stdin") or "",
            _environment(bare, plain(before)),
            _logger(call, bare.get("logging")),
            Retry(call.log.status, call.cancelled),
        )
        if output.status != 0:
            raise failure(command, output)
        return {**inputs, "stdout": _text(output.stdout), "stderr": _text(output.stderr)}


def _settled(host: Any) -> Any:
    """A connection, or its proxy, with defaults filled in and secrets marked."""
    if isinstance(host, Unknown):
        return host
    filled = {**_DEFAULTS, **host}
    for name in _SECRET:
        if name in filled:
            filled[name] = Secret(filled[name])
    if "proxy" in filled:
        filled["proxy"] = _settled(filled["proxy"])
    return filled


def _environment(inputs: Values, before: Values) -> dict[str, str]:
    if inputs.get("addPreviousOutputInEnv") is False:
        return {}
    return {f"PULUMI_COMMAND_{n.upper()}": before[n] for n in before if before[n]}


def _logger(call: Call, logging: str | None) -> Callable[[str, str], None]:
    logged = {None: ("stdout", "stderr"), "stdoutAndStderr": ("stdout", "stderr"), "none": ()}
    streams = logged.get(logging, (logging,))

    def line(stream: str, text: str) -> None:
        if stream in streams:
            call.log.status(text)

    return line


def _text(data: bytes) -> str:
    return data.decode(errors="replace").removesuffix("\n")


if __name__ == "__main__":
    serve(StandIn({"command:remote:Command": Command()}), version("pulumi-command"))
