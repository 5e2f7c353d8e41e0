"""One command over SSH, dialled and run as the official command plugin does it."""

import io
import json
import logging
import os
import socket
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from lab.rpc.provider import ProviderError

if TYPE_CHECKING:
    from paramiko import Channel, PKey, Transport

# The official plugin's back-off.
_FIRST_DELAY, _GROWTH, _LONGEST_DELAY = 0.1, 1.5, 5.0
_CHUNK = 32768

T = TypeVar("T")


class DialError(ProviderError):
    """No connection, after all tries that were allowed."""


@dataclass(frozen=True)
class Retry:
    """How to wait for a connection. `say` hears of each failed try."""

    say: Callable[[str], None]
    cancelled: threading.Event

    def until(self, what: str, limit: int, dial: Callable[[], T]) -> T:
        """Call `dial` until it succeeds, or more than `limit` tries failed (-1: for ever)."""
        delay, tries = _FIRST_DELAY, 0
        while True:
            try:
                return dial()
            except Exception as error:  # whatever it is, the official plugin tries again
                if -1 < limit < tries + 1:
                    said = f"{type(error).__name__}: {error}"
                    raise DialError(f"after {tries} failed attempts: {said}") from error
            tries += 1
            self.say(f"{what} {tries}/{'inf' if limit == -1 else limit} failed: retrying")
            if self.cancelled.wait(delay):
                raise DialError("context canceled")
            delay = min(delay * _GROWTH, _LONGEST_DELAY)


@dataclass(frozen=True)
class Output:
    """What a command wrote and how it ended; `combined` is in order of arrival."""

    status: int
    stdout: bytes
    stderr: bytes
    combined: bytes


def execute(
    connection: Mapping[str, Any],
    command: str,
    stdin: str,
    environment: Mapping[str, str],
    line: Callable[[str, str], None],
    retry: Retry,
) -> Output:
    """Run a command. `connection` has the plugin's properties, defaults filled in.

    `line` hears each line of output with the name of its stream. Raises DialError, ProviderError.
    """
    # The library reports failed dials on its own logger; the engine would show them as output.
    logging.getLogger("paramiko").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        transport = _dial(connection, retry, stack)
        channel = stack.enter_context(closing(transport.open_session()))
        for name, value in environment.items():
            channel.set_environment_variable(name, value)
        channel.exec_command(command)
        output = _collect(channel, stdin.encode(), line)
    if output.status == -1:
        raise ProviderError(
            "wait: remote command exited without exit status or exit signal: running "
            + _quoted(command, output)
        )
    return output


def failure(command: str, output: Output) -> ProviderError:
    """The error of a command that failed: like the official one it quotes command and output."""
    return ProviderError(
        f"Process exited with status {output.status}: running {_quoted(command, output)}"
    )


def _quoted(command: str, output: Output) -> str:
    said = output.combined.decode(errors="replace")
    return f"{json.dumps(command, ensure_ascii=False)}:\n{said}"


def _dial(connection: Mapping[str, Any], retry: Retry, stack: ExitStack) -> "Transport":
    endpoint = (connection["host"], int(connection["port"]))
    limit = connection["dialErrorLimit"]
    proxy = connection.get("proxy")
    for host in (connection, proxy or {}):
        _require_agent(host.get("agentSocketPath", os.environ.get("SSH_AUTH_SOCK") or None))
    if proxy is None:
        direct = retry.until(
            "Dial", limit, lambda: _handshake(_connect(connection, endpoint), connection)
        )
        return stack.enter_context(closing(direct))
    try:
        between = retry.until(
            "Dial proxy",
            proxy["dialErrorLimit"],
            lambda: _handshake(_connect(proxy, (proxy["host"], int(proxy["port"]))), proxy),
        )
        stack.enter_context(closing(between))
        tunnel = retry.until(
            "Dial from proxy",
            limit,
            lambda: between.open_channel("direct-tcpip", endpoint, ("127.0.0.1", 0), timeout=60),
        )
        # Each try goes over the same tunnel, so none succeeds once the first has failed: so it is
        # with the official plugin, and a program must not come to rely on better.
        through = retry.until("Dial", limit, lambda: _handshake(tunnel, connection))
    except DialError as error:
        raise DialError(f"proxy: {error}") from error
    return stack.enter_context(closing(through))


def _require_agent(path: str | None) -> None:
    """The official plugin does without an agent only where none is named."""
    if path is None:
        return
    with socket.socket(socket.AF_UNIX) as agent:
        try:
            agent.connect(path)
        except OSError as error:
            raise ProviderError(f"dial unix {path}: connect: {error.strerror}") from error


def _connect(connection: Mapping[str, Any], endpoint: tuple[str, int]) -> socket.socket:
    return socket.create_connection(endpoint, timeout=connection["perDialTimeout"] or None)


def _handshake(over: "socket.socket | Channel", connection: Mapping[str, Any]) -> "Transport":
    from paramiko import SSHException, Transport

    transport = Transport(over)  # type: ignore[arg-type]  # a channel does as a socket
    timeout = connection["perDialTimeout"] or None
    try:
        if timeout:
            transport.banner_timeout = transport.auth_timeout = timeout
        kind, blob = (connection.get("hostKey") or " ").split(" ")[:2]
        if kind:
            # Only this kind is offered, or a server with several keys would show another one.
            transport.get_security_options().key_types = (kind,)
        transport.start_client(timeout=timeout)
        if kind and transport.get_remote_server_key().asbytes() != b64decode(blob):
            raise SSHException("ssh: handshake failed: ssh: host key mismatch")
        _authenticate(transport, connection)
    except BaseException:
        transport.close()
        raise
    return transport


def _authenticate(transport: "Transport", connection: Mapping[str, Any]) -> None:
    from paramiko import SSHException

    user = connection["user"]
    if key := connection.get("privateKey"):
        transport.auth_publickey(user, _key(key, connection.get("privateKeyPassword")))
    elif (password := connection.get("password")) is not None:
        transport.auth_password(user, password)
    else:
        raise SSHException("ssh: handshake failed: ssh: unable to authenticate")


def _key(text: str, password: str | None) -> "PKey":
    from paramiko import ECDSAKey, Ed25519Key, RSAKey, SSHException

    for kind in (Ed25519Key, RSAKey, ECDSAKey):
        try:
            return kind.from_private_key(io.StringIO(text), password)
        except (SSHException, ValueError, IndexError):
            continue
    raise SSHException("ssh: no key found")


def _collect(channel: "Channel", stdin: bytes, line: Callable[[str, str], None]) -> Output:
    lock = threading.Lock()
    combined = bytearray()

    def drain(name: str, receive: Callable[[int], bytes], into: bytearray) -> None:
        pending = b""
        while data := receive(_CHUNK):
            into.extend(data)
            with lock:
                combined.extend(data)
            *whole, pending = (pending + data).split(b"\n")
            for each in whole:
                line(name, each.decode(errors="replace"))
        if pending:
            line(name, pending.decode(errors="replace"))

    stdout, stderr = bytearray(), bytearray()
    threads = [
        threading.Thread(target=_feed, args=(channel, stdin), daemon=True),
        threading.Thread(target=drain, args=("stderr", channel.recv_stderr, stderr), daemon=True),
    ]
    for thread in threads:
        thread.start()
    drain("stdout", channel.recv, stdout)
    threads[1].join()
    return Output(channel.recv_exit_status(), bytes(stdout), bytes(stderr), bytes(combined))


def _feed(channel: "Channel", stdin: bytes) -> None:
    try:
        channel.sendall(stdin)
        channel.shutdown_write()
    except OSError:
        # The command has ended without reading its input; its status says how.
        return
