"""Commands on a machine over SSH: the host key is pinned, the key never touches a disk."""

import base64
import io
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass

import paramiko

from ops.errors import OperatorError, OpsError
from ops.reach.outputs import MachineOutputs, StackOutputs

CONNECT_TIMEOUT_S = 15.0
COMMAND_TIMEOUT_S = 120.0
KEEPALIVE_S = 10
TIMED_OUT = 124
# Printed by the login shell right before a command: what came before is not the command's.
BEGIN = "--begin-5b1e0f--"


class ConnectionLost(OpsError):
    """The connection broke; what was running on the machine may still be running."""


@dataclass(frozen=True)
class Result:
    """What a command on a machine gave back."""

    command: str
    returncode: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.returncode == 0

    @property
    def said(self) -> str:
        """Its complaint in one piece: standard error, or else standard output."""
        return (self.stderr.strip() or self.stdout.strip())[-2000:]


class CommandFailed(OpsError):
    """A command on a machine ended with an exit code that was not expected."""

    def __init__(self, machine: str, result: Result) -> None:
        self.machine = machine
        self.result = result
        super().__init__(
            f"{result.command} on {machine} failed with exit code {result.returncode}: "
            f"{result.said}"
        )


class Output:
    """Standard output of a command as it comes, without what the login shell printed before it,
    such as a banner in .bashrc."""

    def __init__(self, on_line: Callable[[str], None] | None) -> None:
        self._on_line = on_line
        self._began = False
        self._all = bytearray()
        self._line = b""

    def take(self, chunk: bytes) -> None:
        """Some more of it."""
        self._all += chunk
        if not self._began:
            _, mark, rest = self._all.partition(f"{BEGIN}\n".encode())
            if not mark:
                return
            self._began, self._all, chunk = True, rest, bytes(rest)
        if self._on_line:
            *complete, self._line = (self._line + chunk).split(b"\n")
            for line in complete:
                self._on_line(line.decode(errors="replace"))

    @property
    def text(self) -> str:
        """All of it. Where the command did not begin, what the shell said."""
        return self._all.decode(errors="replace")


class Machine:
    """One machine, connected. Commands run with sudo, in /, as root or as `user`."""

    def __init__(self, name: str, transport: paramiko.Transport) -> None:
        self.name = name
        self.transport = transport

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str = "root",
        stdin: str | bytes = b"",
        timeout_s: float = COMMAND_TIMEOUT_S,
        accept: Sequence[int] | None = (0,),
        on_line: Callable[[str], None] | None = None,
    ) -> Result:
        """Run `argv` and wait for it. Secrets belong in `stdin`, never in `argv`.

        `on_line` sees each line of standard output as it comes. `accept` None takes any exit code.
        Raises CommandFailed, or ConnectionLost when the connection breaks first.
        """
        inner = shlex.join(argv)
        command = f"echo {BEGIN}; cd / && sudo -n -u {shlex.quote(user)} -- {inner}"
        try:
            channel = self.transport.open_session(timeout=CONNECT_TIMEOUT_S)
            channel.exec_command(command)
            result = self._collect(channel, inner, stdin, timeout_s, on_line)
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise ConnectionLost(f"the connection to {self.name} was lost: {error}") from error
        if result.returncode == -1:
            raise ConnectionLost(f"the connection to {self.name} was lost during: {inner}")
        if accept is not None and result.returncode not in accept:
            raise CommandFailed(self.name, result)
        return result

    def _collect(
        self,
        channel: paramiko.Channel,
        inner: str,
        stdin: str | bytes,
        timeout_s: float,
        on_line: Callable[[str], None] | None,
    ) -> Result:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        errors: list[bytes] = []
        threads = [
            threading.Thread(target=_feed, args=(channel, data), daemon=True),
            threading.Thread(target=_drain, args=(channel, errors), daemon=True),
        ]
        for thread in threads:
            thread.start()
        output = Output(on_line)
        deadline = time.monotonic() + timeout_s
        channel.settimeout(1.0)
        timed_out = False
        while True:
            try:
                chunk = channel.recv(65536)
            except TimeoutError:
                if time.monotonic() > deadline:
                    timed_out = True
                    channel.close()
                    break
                continue
            if not chunk:
                break
            output.take(chunk)
        threads[1].join(timeout=5)
        status = TIMED_OUT if timed_out else channel.recv_exit_status()
        channel.close()
        stderr = b"".join(errors).decode(errors="replace")
        if timed_out:
            stderr += f"\ntimed out after {timeout_s:.0f} s"
        return Result(inner, status, output.text, stderr)


def _feed(channel: paramiko.Channel, data: bytes) -> None:
    try:
        channel.sendall(data)
        channel.shutdown_write()
    except OSError:
        pass  # the command ended without reading; its exit code says why


def _drain(channel: paramiko.Channel, into: list[bytes]) -> None:
    while True:
        try:
            chunk = channel.recv_stderr(65536)
        except TimeoutError:
            continue
        except OSError:
            return
        if not chunk:
            return
        into.append(chunk)


@dataclass
class Site:
    """Both machines of a stack. A machine that cannot be reached has its reason in `unreachable`,
    once it was waited for."""

    outputs: StackOutputs
    _postgres: Callable[[], Machine | None]
    _barman: Callable[[], Machine | None]
    unreachable: dict[str, str]

    @property
    def postgres(self) -> Machine:
        return self._required(self._postgres(), self.outputs.postgres.name)

    @property
    def barman(self) -> Machine:
        return self._required(self._barman(), self.outputs.barman.name)

    def reaches(self, target: MachineOutputs) -> bool:
        """Whether one of the two is connected; waits for it, and for it alone."""
        machine = self._postgres if target is self.outputs.postgres else self._barman
        return machine() is not None and target.name not in self.unreachable

    def _required(self, machine: Machine | None, name: str) -> Machine:
        if machine is None:
            raise OperatorError(
                f"{name} cannot be reached: {self.unreachable.get(name, 'not connected')}",
                f"No command was sent to {name}.",
                next_command="python -m ops status",
            )
        return machine


@contextmanager
def connect(outputs: StackOutputs, *, at_once: bool = False) -> Iterator[Site]:
    """Connections to both machines, PostgreSQL's through Barman's where that is the way in.

    Raises OperatorError when a host key is not the one in the outputs: that is never a detail. With
    `at_once`, for who asks and changes nothing, the machines are still being connected to, and it
    is raised where one is waited for.
    """
    transports: list[paramiko.Transport] = []
    unreachable: dict[str, str] = {}
    key = _private_key(outputs.ssh_private_key.get_secret_value())

    def reach(target: MachineOutputs, way: Callable[[], Machine | None] | None) -> Machine | None:
        jump = way() if way else None
        if way and jump is None:
            why = f"its jump host, {outputs.barman.name}, cannot be reached"
            unreachable[target.name] = why
            return None
        try:
            transport = _open(target, key, jump)
        except (OSError, paramiko.SSHException, EOFError) as error:
            unreachable[target.name] = _reason(target, error)
            return None
        transports.append(transport)
        return Machine(target.name, transport)

    barman = _beside(lambda: reach(outputs.barman, None))
    way = barman.result if outputs.through_jump_host else None
    postgres = _beside(lambda: reach(outputs.postgres, way))
    try:
        if not at_once:
            barman.result()
            postgres.result()
        yield Site(outputs, postgres.result, barman.result, unreachable)
    finally:
        for transport in reversed(transports):
            transport.close()


def _beside(work: Callable[[], Machine | None]) -> "Future[Machine | None]":
    """What `work` will have found, in a thread that nobody waits for at the end of this program."""
    found: Future[Machine | None] = Future()

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return found


def admits(site: Site, private_key: str) -> list[str]:
    """The names of the machines that let the operator in with another key than the one in use.

    Raises OperatorError, or ConnectionLost when a machine could not be asked.
    """
    key = _private_key(private_key)
    outputs = site.outputs
    found = []
    for target in (outputs.barman, outputs.postgres):
        through = outputs.through_jump_host and target is outputs.postgres
        try:
            _open(target, key, site.barman if through else None).close()
        except paramiko.AuthenticationException:
            continue
        except (OSError, paramiko.SSHException, EOFError) as error:
            raise ConnectionLost(f"{target.name} could not be asked: {error}") from error
        found.append(target.name)
    return found


def _open(target: MachineOutputs, key: paramiko.PKey, jump: Machine | None) -> paramiko.Transport:
    address = (target.ssh_address, target.ssh_port)
    wire: socket.socket | paramiko.Channel
    if jump is None:
        wire = socket.create_connection(address, timeout=CONNECT_TIMEOUT_S)
        # Or each command waits 40 ms for the acknowledgement of the one before, which the other
        # end delays (tcp(7)).
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    else:
        wire = jump.transport.open_channel(
            "direct-tcpip", address, ("127.0.0.1", 0), timeout=CONNECT_TIMEOUT_S
        )
    kind, expected = target.host_key.split()[:2]
    transport = paramiko.Transport(wire)
    try:
        transport.banner_timeout = CONNECT_TIMEOUT_S
        # Only the pinned kind: else a server could offer another, unpinned key.
        transport.get_security_options().key_types = [kind]
        transport.start_client(timeout=CONNECT_TIMEOUT_S)
        check_host_key(target, transport.get_remote_server_key(), expected)
        transport.auth_publickey(target.ssh_user, key)
        transport.set_keepalive(KEEPALIVE_S)
    except BaseException:
        transport.close()
        raise
    return transport


def check_host_key(target: MachineOutputs, offered: paramiko.PKey, expected: str) -> None:
    """Raises OperatorError unless `offered` is the key `expected` (base64)."""
    if base64.b64decode(expected) == offered.asbytes():
        return
    raise OperatorError(
        f"The host key of {target.name} ({target.ssh_address}) is not the one in the stack's "
        f"outputs. It offered {offered.get_name()} {offered.fingerprint}. Either another machine "
        "answers at this address, the connection is intercepted, "
        "or the machine was rebuilt by hand.",
        "Nothing was sent to it.",
        "pulumi refresh   (then pulumi up, if the machine was rebuilt on purpose)",
    )


def _private_key(text: str) -> paramiko.PKey:
    try:
        return paramiko.Ed25519Key.from_private_key(io.StringIO(text))
    except (paramiko.SSHException, ValueError, IndexError) as error:
        raise OperatorError(
            f"The output sshPrivateKey is not a usable ed25519 key: {error}",
            "No connection was opened.",
            next_command="pulumi up",
        ) from None


def _reason(target: MachineOutputs, error: Exception) -> str:
    where = f"{target.ssh_address}:{target.ssh_port}"
    if isinstance(error, paramiko.AuthenticationException):
        return f"{where} refused the operator's key"
    if isinstance(error, TimeoutError):
        return f"{where} did not answer within {CONNECT_TIMEOUT_S:.0f} s"
    return f"{where}: {str(error) or type(error).__name__}"
