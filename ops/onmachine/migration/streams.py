"""One psql that is told by and by, or says so: what goes through it is never in memory as a
whole."""

import subprocess
from tempfile import TemporaryFile
from typing import IO, cast

from ops.onmachine.migration import sessions
from ops.onmachine.migration.sessions import PSQL, Failed, Server, as_postgres


class Psql:
    """A session at `server`. What is said there is `output`, where that is to be `read`."""

    def __init__(self, server: Server, *, read: bool) -> None:
        # A file: nobody reads it before the end, and a pipe would be full.
        self._complaints = TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            as_postgres([*PSQL, "-d", server.conninfo]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if read else subprocess.DEVNULL,
            stderr=self._complaints,
            encoding="utf-8",
        )
        self._input = cast(IO[str], self._process.stdin)
        self.output = cast(IO[str], self._process.stdout)

    def __enter__(self) -> "Psql":
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever is not committed is rolled back."""
        self._process.terminate()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    # What it was told last, when it had ended already.
                    continue
        self._process.wait()
        self._complaints.close()

    def send(self, sql: str) -> None:
        """Tell it. Raises Failed where it has failed meanwhile."""
        try:
            self._input.write(sql)
            self._input.flush()
        except BrokenPipeError:
            self.finish()
            raise Failed("psql ended early") from None

    def end(self) -> None:
        """It has been told all: it says the rest, and ends."""
        try:
            self._input.close()
        except BrokenPipeError:
            # Its exit code says more.
            return

    def finish(self) -> None:
        """It has been told all, and what it says was read. Raises Failed where it failed."""
        self.end()
        if self._process.wait():
            self._complaints.seek(0)
            raise Failed(sessions.said(self._complaints.read()))
