"""A tiny SSH server: runs commands in a shell on this machine, and forwards connections."""

import io
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from paramiko import common


def new_key() -> tuple[str, paramiko.PKey]:
    """An ed25519 key: its private half in OpenSSH's form, and as an object."""
    private = Ed25519PrivateKey.generate()
    text = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    return text, paramiko.Ed25519Key.from_private_key(io.StringIO(text))


def authorized(key: paramiko.PKey) -> str:
    """The key as a line of authorized_keys."""
    return f"{key.get_name()} {key.get_base64()}"


@dataclass
class Server:
    """Listens on `port`; lets in `user`s with `client_key`. `forwarded` counts tunnels."""

    host_keys: list[paramiko.PKey]
    client_key: paramiko.PKey
    port: int = 0
    forwarded: list[int] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """Serve until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.port = listener.getsockname()[1]
        stopping = threading.Event()
        thread = threading.Thread(target=_accept, args=(listener, server, stopping), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            stopping.set()
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def _accept(listener: socket.socket, server: Server, stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        transport = paramiko.Transport(connection)
        for key in server.host_keys:
            transport.add_server_key(key)
        # A client that refuses the host key may reset the connection: the next one is still heard.
        with suppress(paramiko.SSHException, EOFError, OSError):
            transport.start_server(server=_Session(server, transport))


class _Session(paramiko.ServerInterface):
    def __init__(self, server: Server, transport: paramiko.Transport) -> None:
        self._server = server
        self._transport = transport

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        fits = key.asbytes() == self._server.client_key.asbytes()
        return common.AUTH_SUCCESSFUL if fits else common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return common.OPEN_SUCCEEDED

    def check_channel_env_request(self, channel: Any, name: bytes, value: bytes) -> bool:
        self._server.environment[name.decode()] = value.decode()
        return True

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        threading.Thread(target=_run, args=(channel, command.decode()), daemon=True).start()
        return True

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        self._server.forwarded.append(destination[1])
        try:
            target = socket.create_connection(destination, timeout=5)
        except OSError:
            return common.OPEN_FAILED_CONNECT_FAILED
        threading.Thread(
            target=_forward, args=(self._transport, chanid, target), daemon=True
        ).start()
        return common.OPEN_SUCCEEDED


def _run(channel: paramiko.Channel, command: str) -> None:
    given = b""
    while data := channel.recv(32768):
        given += data
    done = subprocess.run(["sh", "-c", command], input=given, capture_output=True, check=False)
    channel.sendall(done.stdout)
    channel.sendall_stderr(done.stderr)
    channel.send_exit_status(done.returncode)
    channel.close()


def _forward(transport: paramiko.Transport, chanid: int, target: socket.socket) -> None:
    channel = transport.accept(5)
    while channel is not None and channel.get_id() != chanid:
        channel = transport.accept(5)
    if channel is None:
        return

    def pump(source: Any, sink: Any) -> None:
        with suppress(OSError):
            while data := source.recv(32768):
                sink.sendall(data)
        sink.close()

    threading.Thread(target=pump, args=(target, channel), daemon=True).start()
    pump(channel, target)
