"""Who watches the watcher: tells Alertmanager when Prometheus has stopped asking."""

import http.client
import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

PERIOD_S = 5.0
TIMEOUT_S = 5.0
# An alert ends by itself when nobody renews it.
LASTS = timedelta(minutes=1)


class Alarm:
    """`alertmanager` is its host:port; `silent_after_s` how long Prometheus may say nothing."""

    def __init__(self, alertmanager: str, silent_after_s: float) -> None:
        self._alertmanager = alertmanager
        self._silent_after_s = silent_after_s

    def watch(self, last_asked: Callable[[], float]) -> None:
        """For ever; `last_asked` reads a clock that never jumps."""
        raised = False
        while True:
            time.sleep(PERIOD_S)
            silent = time.monotonic() - last_asked() > self._silent_after_s
            if silent or raised:
                delivered = self._send(alert(datetime.now(UTC), firing=silent))
                raised = silent or not delivered

    def _send(self, what: dict[str, object]) -> bool:
        connection = http.client.HTTPConnection(self._alertmanager, timeout=TIMEOUT_S)
        try:
            connection.request(
                "POST",
                "/api/v2/alerts",
                json.dumps([what]),
                {"Content-Type": "application/json"},
            )
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException) as error:
            # Alertmanager's own silence is noticed outside, by the dead-man's switch.
            print(f"<4>Alertmanager cannot be reached: {error}", file=sys.stderr, flush=True)
            return False
        finally:
            connection.close()


def alert(now: datetime, *, firing: bool) -> dict[str, object]:
    """The alert as Alertmanager's API takes it; one that does not fire ends now."""
    return {
        "labels": {
            "alertname": "PrometheusSilent",
            "severity": "critical",
            "machine": "barman",
            "raised_by": "barman-exporter",
        },
        "annotations": {
            "summary": "Prometheus on the Barman machine stopped scraping: no other alert can fire",
            "runbook": "docs/runbooks/monitoring-is-silent.md",
        },
        "endsAt": (now + LASTS if firing else now).isoformat(),
    }
