"""Headless Chromium for tests: a page in, what a reader and a browser's console see of it out.

Speaks the DevTools protocol over the pipe that Chromium itself offers, so nothing but Chromium
and Python is needed. `CARDFERRY_REQUIRE_BROWSER=1` turns a missing browser into a failure.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager, suppress

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)


def required_browser():
    """Give the browser's path; skip the test without one, or fail it where one is required."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        message = "no Chromium: install Debian's chromium package to look at the report"
        if os.environ.get("CARDFERRY_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return found


@contextmanager
def browser():
    """Start Chromium and give it; it and its profile go when the context ends."""
    program = required_browser()
    with tempfile.TemporaryDirectory(prefix="cf-browser-", ignore_cleanup_errors=True) as profile:
        to_browser, ours_out = os.pipe()
        ours_in, from_browser = os.pipe()
        # Chromium reads commands on descriptor 3 and answers on 4.
        script = 'exec "$0" "$@" 3<&"$CF_IN" 4>&"$CF_OUT"'
        process = subprocess.Popen(
            ["/bin/bash", "-c", script, program, *FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(to_browser, from_browser),
            env={**os.environ, "CF_IN": str(to_browser), "CF_OUT": str(from_browser)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        with os.fdopen(ours_out, "wb", 0) as out, os.fdopen(ours_in, "rb") as answers:
            chromium = Browser(out, answers)
            try:
                yield chromium
            finally:
                chromium.close()
                process.wait(30)


class Browser:
    """A Chromium at the other end of a pipe; keeps every event that came."""

    def __init__(self, out, answers):
        self._out, self._answers, self._last = out, answers, 0
        self.events = []

    def call(self, method, session=None, **params):
        """Call a method of the protocol and give its result."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise AssertionError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def _next(self):
        message = bytearray()
        while (byte := self._answers.read(1)) != b"\0":
            if not byte:
                raise AssertionError("the browser went away")
            message += byte
        return json.loads(message)

    def wait_for(self, method, session):
        """Wait for an event of a page; one that came already counts."""
        while True:
            for event in self.events:
                if event.get("method") == method and event.get("sessionId") == session:
                    return event["params"]
            self.events.append(self._next())

    def close(self):
        """Ask the browser to go."""
        with suppress(AssertionError, BrokenPipeError):
            self.call("Browser.close")

    def open(self, address, *, width=1200, height=900, scheme="light", media=""):
        """Open a page in a tab of its own, at a width and in a colour scheme."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable", session)
        self.call(
            "Emulation.setDeviceMetricsOverride",
            session,
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        feature = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", session, media=media, features=feature)
        self.call("Page.navigate", session, url=address)
        self.wait_for("Page.loadEventFired", session)
        return Page(self, session)


class Page:
    """An open page."""

    def __init__(self, chromium, session):
        self._browser, self._session = chromium, session

    def evaluate(self, expression, *, wait=False):
        """Run an expression in the page's own world and give its value."""
        result = self._browser.call(
            "Runtime.evaluate",
            self._session,
            expression=expression,
            returnByValue=True,
            awaitPromise=wait,
            allowUnsafeEvalBlockedByCSP=True,
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def screenshot(self, path):
        """Save the whole page as it looks."""
        picture = self._browser.call(
            "Page.captureScreenshot", self._session, captureBeyondViewport=True
        )
        path.write_bytes(base64.b64decode(picture["data"]))

    def printed(self):
        """Give the page as a PDF on A4."""
        result = self._browser.call(
            "Page.printToPDF", self._session, paperWidth=8.27, paperHeight=11.69
        )
        return base64.b64decode(result["data"])

    def complaints(self):
        """Give what the console and the log said."""
        return [
            event["params"]
            for event in self._mine()
            if event["method"]
            in {"Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"}
        ]

    def requests(self):
        """Give the addresses that the page asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self._mine()
            if event["method"] == "Network.requestWillBeSent"
        ]

    def _mine(self):
        return [e for e in self._browser.events if e.get("sessionId") == self._session]
