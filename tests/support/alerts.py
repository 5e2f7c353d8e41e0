"""What receives alerts on the lab's Internet, and a stack that is set up to send them there."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from tests.support.stack import BARMAN, Stack
from tests.support.waiting import eventually

# Time-outs are seconds and minutes on purpose; here the same rules run ten times as fast.
FASTER = r"""
set -eu
mkdir /root/monitoring-before
cp -a /etc/monitoring /etc/systemd/system/prometheus.service.d /root/monitoring-before/
cd /etc/monitoring
sed -i 's/_interval: 15s/_interval: 1s/; s/scrape_timeout: 10s/scrape_timeout: 1s/' prometheus.yml
sed -i -E 's/for: [0-9]+[sm]/for: 3s/; s/> 60$/> 6/; s/\[10m\]/[30s]/' alerts.yml
sed -i 's/group_wait: 10s/group_wait: 1s/; s/group_interval: 1m/group_interval: 2s/
    s/repeat_interval: 50s/repeat_interval: 1s/' alertmanager.yml
sed -i -E 's/"(catalogue|certificate|stream|histories)": [0-9]+/"\1": 2/; s/("checks": )[0-9]+/\15/
    s/("silent_after_s": )[0-9]+/\16/' barman-exporter.json
sed -i 's/resend-delay=15s/resend-delay=1s/' /etc/systemd/system/prometheus.service.d/*.conf
systemctl daemon-reload
systemctl restart prometheus prometheus-alertmanager barman-exporter
"""
AS_BEFORE = """
set -eu
[ -d /root/monitoring-before ] || exit 0
cp -a /root/monitoring-before/monitoring/. /etc/monitoring/
cp -a /root/monitoring-before/prometheus.service.d/. /etc/systemd/system/prometheus.service.d/
rm -r /root/monitoring-before
systemctl daemon-reload
systemctl restart prometheus prometheus-alertmanager barman-exporter
"""
RULES = "/etc/monitoring/alerts.yml"
EXPORTER = "/etc/monitoring/barman-exporter.json"
Name = tuple[str, str]


class Inbox:
    """A webhook, a dead-man's switch and a mail server at `host`, keeping what they got.

    An alert is named by (alertname, machine).
    """

    def __init__(self, host: str) -> None:
        self.web_refuses = False
        self.heartbeats: list[float] = []
        # By fingerprint: several exporters of one machine can be down.
        self._firing: dict[str, dict[str, Any]] = {}
        self.mails: list[str] = []
        self._changed = threading.Condition()
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if not inbox.web_refuses:
                    inbox._take(self.path, json.loads(body))
                self.send_response(503 if inbox.web_refuses else 200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return

        self._web = ThreadingHTTPServer((host, 0), Handler)
        threading.Thread(target=self._web.serve_forever, daemon=True).start()
        self.url = f"http://{host}:{self._web.server_port}"
        with socket.create_server((host, 0)) as free:
            self.smtp_port = free.getsockname()[1]
        self._smtp = Controller(self, hostname=host, port=self.smtp_port)
        self._smtp.start()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """aiosmtpd's hook: a mail has come."""
        mail = message_from_bytes(envelope.content, policy=policy.default)
        body = mail.get_body(("plain",))
        with self._changed:
            self.mails.append(f"{mail['Subject']}\n{body.get_content() if body else ''}")
            self._changed.notify_all()
        return "250 OK"

    def _take(self, path: str, message: dict[str, Any]) -> None:
        with self._changed:
            if path == "/dead-man":
                self.heartbeats.append(time.monotonic())
            else:
                for alert in message["alerts"]:
                    self._firing.pop(alert["fingerprint"], None)
                    if alert["status"] == "firing":
                        self._firing[alert["fingerprint"]] = alert
            self._changed.notify_all()

    @property
    def firing(self) -> dict[Name, dict[str, Any]]:
        """What fires now."""
        return {
            (alert["labels"]["alertname"], alert["labels"].get("machine", "")): alert
            for alert in self._firing.values()
        }

    def wait(self, what: str, ready: Callable[[], bool], timeout_s: float = 150) -> None:
        with self._changed:
            assert self._changed.wait_for(ready, timeout_s), (
                f"timed out after {timeout_s} s: {what}; firing: {sorted(self.firing)}"
            )

    def wait_firing(self, *names: Name) -> None:
        """Until all of these have come by webhook and by mail."""
        for name in names:
            self.wait(f"{name} to fire", lambda name=name: name in self.firing)
            alert = self.firing[name]
            self.wait_mail(
                alert["annotations"]["summary"], alert["annotations"]["runbook"], name[0]
            )

    def wait_mail(self, *words: str) -> None:
        """Until a mail has come with all of these in it."""
        self.wait(
            f"a mail with {words}",
            lambda: any(all(word in mail for word in words) for mail in self.mails),
        )

    def wait_quiet(self) -> None:
        """Until nothing fires, for some seconds on end."""

        def quiet() -> bool:
            return not self._changed.wait_for(lambda: bool(self.firing), 6)

        with self._changed:
            deadline = time.monotonic() + 180
            while not quiet():
                self._changed.wait(1)
                assert time.monotonic() < deadline, f"still firing: {self.firing}"

    def wait_heartbeat(self) -> None:
        """Until one more has come."""
        before = len(self.heartbeats)
        self.wait("a heartbeat", lambda: len(self.heartbeats) > before)

    def wait_silence(self, seconds: float = 12) -> None:
        """Until no heartbeat has come for so long; they come every two seconds otherwise."""
        deadline = time.monotonic() + 150
        while time.monotonic() - self.heartbeats[-1] < seconds:
            assert time.monotonic() < deadline, "the heartbeat goes on"
            time.sleep(0.5)

    def close(self) -> None:
        self._smtp.stop()
        self._web.shutdown()
        self._web.server_close()


def checks_are_ok(stack: Stack) -> bool:
    """Whether Prometheus has every line of `barman check`, all OK."""
    asked = "http://127.0.0.1:9090/api/v1/query --data-urlencode 'query=min(barman_check_ok)'"
    result = json.loads(stack.on(BARMAN, f"curl -s {asked}"))["data"]["result"]
    return bool(result) and result[0]["value"][1] == "1"


@contextmanager
def changed(stack: Stack, file: str, *edits: str) -> Iterator[None]:
    """The watchers' configuration `file` with these edits of sed, each of which changes it."""
    kept = f"/root/{file.rsplit('/', 1)[1]}.before"
    again = "systemctl restart barman-exporter; systemctl reload prometheus"
    stack.on(BARMAN, f"cp -p {file} {kept}")
    try:
        for edit in edits:
            before = stack.on(BARMAN, f"cat {file}")
            stack.on(BARMAN, f"sed -i -E '{edit}' {file}")
            assert stack.on(BARMAN, f"cat {file}") != before, edit
        stack.on(BARMAN, again)
        yield
    finally:
        stack.on(BARMAN, f"cp -p {kept} {file}; rm {kept}; {again}")


@contextmanager
def watched(stack: Stack, host: str) -> Iterator[Inbox]:
    """The stack sending its alerts to `host`, an address of this machine, and quickly."""
    inbox = Inbox(host)
    settings = {
        "alertEmail": "dba@example.org",
        "smtpHost": host,
        "smtpPort": str(inbox.smtp_port),
        "smtpFrom": "alerts@example.org",
        "fallbackAfterSeconds": "5",
    }
    secrets = {"alertWebhook": f"{inbox.url}/hook", "deadManUrl": f"{inbox.url}/dead-man"}
    try:
        for key, value in settings.items():
            stack.pulumi("config", "set", key, value)
        for key, value in secrets.items():
            stack.pulumi("config", "set", "--secret", key, value)
        stack.lab_command("up")
        # On a new stack the first check came before the first WAL. What is gone at the moment when
        # Prometheus starts again would count for five minutes more, its look-back.
        stack.on(BARMAN, "systemctl restart barman-exporter")
        eventually("Prometheus to see every check OK", lambda: checks_are_ok(stack), 120)
        stack.on(BARMAN, FASTER)
        inbox.wait_heartbeat()
        inbox.wait_quiet()
        yield inbox
    finally:
        stack.on(BARMAN, AS_BEFORE)
        for key in (*settings, *secrets):
            stack.pulumi("config", "rm", key, check=False)
        stack.lab_command("up")
        inbox.close()
