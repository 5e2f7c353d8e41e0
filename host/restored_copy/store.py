"""Barman's WAL as a copy's machine reaches it: through a connection that stays."""

import socket
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from host.domain import wal_stream
from host.domain.compression import Content, Damaged
from host.domain.paths import BARMAN_GET_WAL, BARMAN_SEND_WAL
from host.domain.wal_store import DAMAGED

# How a fetch ends where nobody could be asked; ssh itself ends so when it gets no connection.
OUT_OF_REACH = 255
# How long a sender whose connection was closed may take to end.
ENDING_S = 5.0
# How Barman's machine is reached. One that is gone says nothing: half a minute of that ends the
# connection.
SSH = (
    *("ssh", "-T", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ConnectTimeout=15"),
    *("-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"),
)


@dataclass(frozen=True)
class Store:
    """Barman's WAL of one `server`, on this machine or, over SSH, at `address`. With
    `histories_only` it is as if it had nothing but the histories of timelines."""

    server: str
    segment_size: int
    address: str | None = None
    histories_only: bool = False

    def document(self) -> dict[str, Any]:
        """Ready for JSON; Store(**document) is the store again."""
        return asdict(self)

    def sender(self) -> list[str]:
        """The command that sends one file after another (host/domain/wal_stream.py)."""
        if self.address is None:
            return [BARMAN_SEND_WAL, self.server]
        return [*SSH, f"barman@{self.address}", f"barman-send-wal {self.server}"]

    def fetch_alone(self, name: str, destination: Path, *, partial: bool) -> int:
        """As Connection.fetch, with a login and a start of Barman for this one file."""
        flags = ["--partial"] if partial else []
        if self.address is None:
            with destination.open("wb") as file:
                words = [BARMAN_GET_WAL, *flags, self.server, name]
                return subprocess.run(words, stdout=file, check=False).returncode
        words = ["barman-wal-restore", *flags, "--user", "barman", self.address, self.server]
        return subprocess.run([*words, name, str(destination)], check=False).returncode


class Connection:
    """A connection to a store, made when it is needed and again when it broke. For one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sender: _Sender | None = None
        # A machine of Barman's that was not brought up to date yet has no program that sends.
        self._sends = True

    def fetch(self, name: str, destination: Path, *, partial: bool) -> int:
        """Put the file there, as PostgreSQL wrote it. Returns how barman-get-wal ends
        (host/domain/wal_store.py), or something else where nobody could be asked. A segment that is
        still being received counts where `partial`."""
        fresh = self._sender is None
        code = self._fetch(name, destination, partial=partial)
        if code == OUT_OF_REACH and not fresh:
            # It may have been broken for long, and nobody noticed.
            code = self._fetch(name, destination, partial=partial)
        return code

    def _fetch(self, name: str, destination: Path, *, partial: bool) -> int:
        try:
            if self._sender is None and self._sends:
                self._sender = _Sender(self._store.sender())
            if self._sender is None:
                return self._store.fetch_alone(name, destination, partial=partial)
            with destination.open("wb") as file:
                return self._sender.fetch(name, file, partial=partial)
        except _NoSender as error:
            print(f"Barman is started for each file: {error}", file=sys.stderr, flush=True)
            self._sends = False
            return self._fetch(name, destination, partial=partial)
        except OSError as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            if self._sender is not None:
                self._sender.end()
                self._sender = None
            return OUT_OF_REACH


class _NoSender(Exception):
    """The machine was reached, and has no program that sends."""


class _Sender:
    """The running program that sends. Raises _NoSender, or OSError where nobody was
    reached."""

    def __init__(self, argv: list[str]) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            try:
                self._process = subprocess.Popen(
                    argv, stdin=theirs.fileno(), stdout=theirs.fileno()
                )
            except FileNotFoundError as error:
                self._socket.close()
                raise _NoSender(str(error)) from None
        self._replies = self._socket.makefile("rb")
        if self._replies.read(len(wal_stream.GREETING)) != wal_stream.GREETING:
            code = self.end()
            if code < 0 or code == OUT_OF_REACH:
                raise ConnectionError("no connection to Barman's machine")
            raise _NoSender(f"{argv[0]} ended with exit code {code}")

    def fetch(self, name: str, file: BinaryIO, *, partial: bool) -> int:
        """As Connection.fetch, into an open file. Raises OSError where the connection broke, or
        there is no room; then this one is to be ended."""
        content = Content(file.write)
        code = wal_stream.ask(self._socket, self._replies, name, content.add, partial=partial)
        try:
            content.end()
        except Damaged as error:
            print(f"{name}: {error}", file=sys.stderr, flush=True)
            return code or DAMAGED
        return code

    def end(self) -> int:
        """Its exit code, negative where a signal ended it."""
        self._replies.close()
        self._socket.close()
        try:
            return self._process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()
