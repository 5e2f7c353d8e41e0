"""A backup of Barman's as a copy's machine reaches it."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import IO, Any

from host.domain.paths import BARMAN_SEND_BACKUP
from host.restored_copy.server import Failed
from host.restored_copy.store import ENDING_S, OUT_OF_REACH, SSH


class OutOfReach(Failed):
    """Barman's machine cannot be asked, or the connection to it broke."""


@dataclass(frozen=True)
class Backup:
    """A backup of `server`, on this machine or, over SSH, at `address`."""

    server: str
    id: str
    address: str | None = None

    def document(self) -> dict[str, Any]:
        """Ready for JSON; Backup(**document) is the backup again."""
        return asdict(self)

    def command(self, what: str) -> list[str]:
        """What sends `what` of it (host/domain/backup_sender.py)."""
        if self.address is None:
            return [BARMAN_SEND_BACKUP, self.server, self.id, what]
        words = f"barman-send-backup {self.server} {self.id} {what}"
        return [*SSH, f"barman@{self.address}", words]

    @contextmanager
    def sent(self, what: str) -> Iterator[IO[bytes]]:
        """`what` of it while it comes, without a buffer. Raises Failed where its sender failed,
        whatever the reader made of what came."""
        pipe = subprocess.PIPE
        with subprocess.Popen(
            self.command(what), bufsize=0, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe
        ) as process:
            if process.stdout is None:
                raise AssertionError("a pipe was asked for")
            try:
                yield process.stdout
            except Exception:
                # Where the stream broke off, its sender has the reason.
                with suppress(subprocess.TimeoutExpired):
                    process.wait(ENDING_S)
                if process.poll() is None:
                    process.kill()
                    raise
                self._require(process)
                raise
            process.stdout.close()
            process.wait()
            self._require(process)

    def _require(self, process: subprocess.Popen[bytes]) -> None:
        """Raises Failed unless the sender, which has ended, has ended well."""
        if process.returncode == 0 or process.stderr is None:
            return
        said = process.stderr.read().decode(errors="replace").strip()
        if process.returncode < 0 or process.returncode == OUT_OF_REACH:
            raise OutOfReach(f"Barman's machine cannot be reached: {said}")
        why = said or f"the sender ended with {process.returncode}"
        raise Failed(f"backup {self.id} does not come from Barman: {why}")

    def read(self, what: str) -> bytes:
        """All of `what`. Raises Failed."""
        with self.sent(what) as stream:
            content = b""
            while piece := stream.read(2**20):
                content += piece
        return content
