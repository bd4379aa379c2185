"""A page in chromium without a window, driven through its DevTools protocol over two pipes."""

import json
import os
import select
import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe")
# Chromium reads from 3 and writes to 4; copies far above, so that neither overwrites the other.
LAUNCH = """
import fcntl, os, sys
for end, number in zip([fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]], (3, 4)):
    os.dup2(end, number)
os.execv(sys.argv[3], sys.argv[3:])
"""
# A browser that keeps silent for so long hangs.
SECONDS = 120


class Page:
    """One tab; `problems` are the errors that its scripts have raised."""

    def __init__(self, commands, answers):
        self._commands, self._answers, self._buffer, self._number, self._session = commands, answers, b"", 0, None
        self.problems = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            if answer["method"] == "Runtime.exceptionThrown":
                self.problems.append(answer["params"]["exceptionDetails"]["text"])
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self):
        while b"\0" not in self._buffer:
            assert select.select([self._answers], [], [], SECONDS)[0], "the browser does not answer"
            part = os.read(self._answers, 1 << 16)
            assert part, "the browser has ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def look_as(self, *, width=1280, height=900, scheme="light", media="screen"):
        """Set the size of the window in pixels, light or dark, and screen or print."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )

    def open(self, address):
        self.call("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def run(self, expression):
        """Give the value of an expression of JavaScript; a promise is waited for."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, condition):
        """Look at a condition whenever the page changes, until it holds."""
        self.run(
            f"""new Promise(done => {{
                const look = () => {{ if ({condition}) {{ changes.disconnect(); done(true); }} }};
                const changes = new MutationObserver(look);
                changes.observe(document, {{ subtree: true, childList: true, characterData: true, attributes: true }});
                document.addEventListener("readystatechange", look);
                look();
            }})"""
        )

    def type(self, text):
        """Write into the field that has the focus."""
        self.call("Input.insertText", text=text)

    def press_enter(self):
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        self.call("Input.dispatchKeyEvent", type="keyDown", **key)
        self.call("Input.dispatchKeyEvent", type="keyUp", **key)


@contextmanager
def open_browser(folder):
    """Start chromium with its profile in a folder, and give a page."""
    commands, answers = os.pipe(), os.pipe()
    line = [CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
    ends = (commands[0], answers[1])
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, *map(str, ends), *line], pass_fds=ends, stderr=subprocess.DEVNULL
    )
    try:
        yield Page(commands[1], answers[0])
    finally:
        process.terminate()
        process.wait()
        for end in (*commands, *answers):
            os.close(end)
