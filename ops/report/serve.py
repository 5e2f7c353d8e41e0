"""The page in a browser of the operator's own machine, asked again every minute. Read-only."""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ops.errors import NOTHING_CHANGED, OperatorError
from ops.report.model import Report
from ops.report.page import render

REFRESH_S = 60
# Whoever is on this machine may look; nobody else can.
ADDRESS = "127.0.0.1"
# A page of a stranger that had its own name resolved to 127.0.0.1 is not answered.
NAMES = ("127.0.0.1", "localhost")


class Latest:
    """The last report that could be made, and why it is not newer."""

    def __init__(self, ask: Callable[[], Report]) -> None:
        self._ask = ask
        self._report = ask()
        self._problem: str | None = None

    def refresh(self) -> None:
        """Ask again; a failure is kept for the page and ends nothing."""
        try:
            self._report, self._problem = self._ask(), None
        except Exception as error:
            # Whatever it is: the page must say that it is old, and the next minute may be better.
            happened = error.happened if isinstance(error, OperatorError) else str(error)
            self._problem = happened or type(error).__name__

    def page(self, now: datetime) -> str:
        """The page as of now, with a warning when the report is older than it should be."""
        problem = self._problem
        if problem is None and (now - self._report.at).total_seconds() > 3 * REFRESH_S:
            problem = "the machines take too long to answer"
        return render(self._report, refresh_s=REFRESH_S, problem=problem)


class Server(ThreadingHTTPServer):
    """Answers GET and HEAD of / with the latest page."""

    daemon_threads = True

    def __init__(self, latest: Latest, port: int) -> None:
        self.latest = latest
        super().__init__((ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        """What to open in a browser."""
        return f"http://{ADDRESS}:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: Server  # type: ignore[assignment]

    def do_GET(self) -> None:
        if self.headers.get("Host", "").rsplit(":", 1)[0] not in NAMES:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        if self.path != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        body = self.server.latest.page(datetime.now(UTC)).encode()
        self.send_response(HTTPStatus.OK)
        for name, value in {
            "Content-Type": "text/html; charset=utf-8",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal belongs to the operator."""


def serve(ask: Callable[[], Report], port: int, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C. Raises OperatorError when the port is taken."""
    latest = Latest(ask)
    try:
        server = Server(latest, port)
    except OSError as error:
        raise OperatorError(
            f"Port {port} of this machine cannot be used: {error.strerror}",
            NOTHING_CHANGED,
            next_command=f"python -m ops report --serve --port {port + 1}",
        ) from None
    ended = threading.Event()

    def keep_fresh() -> None:
        while not ended.wait(REFRESH_S):
            latest.refresh()

    threading.Thread(target=keep_fresh, daemon=True).start()
    say(f"{server.url}   read-only, asked again every {REFRESH_S} s; Ctrl-C ends it")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say("Ended.")
    finally:
        ended.set()
        server.server_close()
