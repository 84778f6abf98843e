"""A headless Chromium that a test looks at pages with, over the WebDriver protocol."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Browser:
    """One session of Chromium."""

    def __init__(self, driver: str, session: str) -> None:
        self._session = f"{driver}/session/{session}"

    def open(self, path: Path) -> None:
        """Open a file and wait until it is loaded; forgets what was logged and asked for before."""
        post(f"{self._session}/url", {"url": "about:blank"})
        self.log()
        self.requests()
        post(f"{self._session}/url", {"url": path.resolve().as_uri()})

    def script(self, text: str, *arguments: Any) -> Any:
        """Run the body of a function in the page; a promise that it returns is waited for."""
        body = {"script": text, "args": list(arguments)}
        return post(f"{self._session}/execute/sync", body)

    def text(self, selector: str) -> list[str]:
        """Text of every element that the selector finds, hidden or not."""
        found = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent.trim())"
        return self.script(found, selector)

    def wait_for(self, text: str, seconds: float = 60) -> Any:
        """Run a script until it returns something true, and return that."""
        deadline = time.monotonic() + seconds
        while not (found := self.script(text)):
            assert time.monotonic() < deadline, f"{text}: {found!r} after {seconds} s"
        return found

    def log(self, *levels: str) -> list[str]:
        """What was written to the console since the last call, of these levels (default: all)."""
        entries = post(f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in levels or not levels]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call."""
        entries = post(f"{self._session}/se/log", {"type": "performance"})
        messages = [json.loads(entry["message"])["message"] for entry in entries]
        return [
            message["params"]["request"]["url"]
            for message in messages
            if message["method"] == "Network.requestWillBeSent"
        ]

    def look(self, width: int, height: int, dark: bool = False) -> None:
        """Give the window a size in CSS pixels, and the reader a preference for light or dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", {"features": [scheme]})

    def devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        """Send a command of the DevTools protocol."""
        return post(f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})


def post(address: str, body: dict[str, Any], method: str = "POST") -> Any:
    """Send a WebDriver command and return its value."""
    request = urllib.request.Request(
        address, json.dumps(body).encode(), {"Content-Type": "application/json"}, method=method
    )
    # Never through a proxy: the driver runs on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=120) as answer:
        return json.load(answer)["value"]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start a headless Chromium whose profile is the folder `profile`; skip without one."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("needs Chromium and chromedriver; `make setup-browser` installs them (Debian)")
    process = subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        started = (re.search(r"successfully on port (\d+)", line) for line in process.stdout)
        port = next(filter(None, started)).group(1)
        address = f"http://127.0.0.1:{port}"
        wanted = {
            "goog:chromeOptions": {
                "binary": program,
                "args": [*ARGUMENTS, f"--user-data-dir={profile}"],
            },
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        session = post(f"{address}/session", {"capabilities": {"alwaysMatch": wanted}})
        browser = Browser(address, session["sessionId"])
        try:
            yield browser
        finally:
            post(f"{address}/session/{session['sessionId']}", {}, method="DELETE")
    finally:
        process.terminate()
        process.wait()
