"""A headless Chromium, driven over WebDriver, to see pages as an operator's browser shows them."""

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
START_TIMEOUT_S = 120


@dataclass(frozen=True)
class Browser:
    """One window. `url` is the session's, at the driver."""

    url: str

    def look(self, *, width: int, height: int = 900, dark: bool = False) -> None:
        """How wide the window is, in CSS pixels, and which colours its owner prefers."""
        self._devtools(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._devtools("Emulation.setEmulatedMedia", {"features": [scheme]})

    def open(self, address: str) -> None:
        _call(self.url + "/url", {"url": address})

    def run(self, script: str) -> Any:
        """What JavaScript returns."""
        return _call(self.url + "/execute/sync", {"script": script, "args": []})

    def press(self, key: str) -> None:
        """One key, as from a keyboard: a character, or a WebDriver code such as \\ue004 (Tab)."""
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        actions = [{"type": "key", "id": "keyboard", "actions": keys}]
        _call(self.url + "/actions", {"actions": actions})

    def screenshot(self, to: Path) -> None:
        """The whole page as a PNG."""
        options = {"captureBeyondViewport": True, "format": "png"}
        to.write_bytes(base64.b64decode(self._devtools("Page.captureScreenshot", options)["data"]))

    def _devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        body = {"cmd": command, "params": parameters}
        return _call(self.url + "/goog/cdp/execute", body)


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium with a new profile, ended afterwards."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    assert program, "there is no Chromium here; type: tools/bootstrap browser"
    with TemporaryDirectory() as directory:
        log = Path(directory, "driver.log")
        with log.open("w") as output:
            driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=output, stderr=output)
        try:
            root = f"http://127.0.0.1:{_port(log, driver)}"
            options = {"binary": program, "args": [*FLAGS, f"--user-data-dir={directory}/profile"]}
            wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
            url = f"{root}/session/{_call(root + '/session', wanted)['sessionId']}"
            try:
                yield Browser(url)
            finally:
                _call(url, None, "DELETE")
        finally:
            driver.terminate()
            driver.wait(timeout=30)


def _port(log: Path, driver: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and driver.poll() is None:
        for line in log.read_text().splitlines():
            if "started successfully on port" in line:
                return int(line.rstrip(".").rsplit(" ", 1)[1])
        time.sleep(0.1)
    raise AssertionError(f"chromedriver did not start: {log.read_text()}")


def _call(url: str, body: Any, method: str = "POST") -> Any:
    where = urlsplit(url)
    driver = HTTPConnection(where.netloc, timeout=START_TIMEOUT_S)
    try:
        data = None if body is None else json.dumps(body)
        driver.request(method, where.path, data, {"Content-Type": "application/json"})
        answer = driver.getresponse()
        said = json.load(answer)["value"]
    finally:
        driver.close()
    assert answer.status == 200, f"{url}: {said}"
    return said
