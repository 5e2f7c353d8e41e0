"""The service: looks at its parts in the background, answers Prometheus at once, and raises the
alarm itself when Prometheus no longer asks."""

import json
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY, start_http_server

from . import metrics
from .alarm import Alarm
from .parts import Catalogue, Certificate, Checks, Histories, Places, Stream
from .server import Server, conninfo

CONFIGURATION = Path("/etc/monitoring/barman-exporter.json")


class _Scraped:
    """Not a metric of its own: notes that somebody asked."""

    def __init__(self) -> None:
        self.at = time.monotonic()

    def collect(self) -> list[Any]:
        self.at = time.monotonic()
        return []


def every(name: str, period_s: float, look: Callable[[], None]) -> None:
    """Look for ever, in a thread of its own. What fails is reported once and tried again; the age
    of the last success is a metric, and an alert, from the start on."""

    metrics.PATIENCE.labels(name).set(60 + 3 * period_s)
    metrics.COLLECTED_AT.labels(name).set_to_current_time()

    def work() -> None:
        complaint = ""
        while True:
            try:
                look()
            except Exception as error:
                text = f"{name}: {type(error).__name__}: {error}"
                if text != complaint:
                    print(f"<3>{text}", file=sys.stderr, flush=True)
                complaint = text
            else:
                complaint = ""
                metrics.COLLECTED_AT.labels(name).set_to_current_time()
            time.sleep(period_s)

    threading.Thread(target=work, name=name, daemon=True).start()


def main() -> None:
    """Run as a service; the configuration is read once, a new one needs a restart."""
    configuration = json.loads(CONFIGURATION.read_text())
    places = Places(
        server=configuration["server"],
        base=Path(configuration["home"]) / configuration["server"],
        drills=Path(configuration["drills"]),
        verifications=Path(configuration["verifications"]),
    )
    # Read each time: Barman's configuration may change under a running exporter.
    dsn = partial(conninfo, Path(configuration["barman_configuration"]), configuration["server"])
    metrics.BACKUP_MAXIMUM_AGE.set(configuration["backup_maximum_age_s"])
    scraped = _Scraped()
    REGISTRY.register(scraped)  # type: ignore[arg-type]
    periods = configuration["periods_s"]
    every("stream", periods["stream"], Stream(places, Server(dsn)).look)
    every("catalogue", periods["catalogue"], Catalogue(places).look)
    every("histories", periods["histories"], Histories(places).look)
    every("certificate", periods["certificate"], Certificate(dsn).look)
    every("checks", periods["checks"], Checks(places).look)
    start_http_server(configuration["port"], addr=configuration["address"])
    # Registering asked once; from here on only Prometheus does.
    scraped.at = time.monotonic()
    Alarm(configuration["alertmanager"], configuration["silent_after_s"]).watch(lambda: scraped.at)
