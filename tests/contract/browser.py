"""A headless Chromium, driven by its DevTools protocol: the page that a user sees, with what the page's own scripts made of it."""

from __future__ import annotations

import base64
import itertools
import json
import os
import subprocess
from contextlib import closing, contextmanager
from http.client import HTTPConnection

import websocket
from waiting import wait_until

__all__ = ["Tab", "chromium"]

_PATIENCE_S = 60


class Tab:
    """One open page."""

    def __init__(self, url):
        self._socket = websocket.create_connection(url, timeout=_PATIENCE_S, suppress_origin=True)
        self._numbers = itertools.count(1)
        self.faults = []
        """What the page's scripts threw, or failed to load."""
        for domain in ("Page", "Runtime", "Network"):
            self._ask(f"{domain}.enable")

    def _ask(self, method, **given):
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": given}))
        while True:
            told = json.loads(self._socket.recv())
            if told.get("method") == "Runtime.exceptionThrown":
                self.faults.append(json.dumps(told["params"]["exceptionDetails"])[:500])
            elif told.get("method") == "Network.requestWillBeSent":
                self.faults += (
                    [told["params"]["request"]["url"]]
                    if not told["params"]["request"]["url"].startswith(("http://127.0.0.1", "data:", "file:"))
                    else []
                )
            if told.get("id") == number:
                assert "error" not in told, told
                return told["result"]

    def go(self, url):
        """Open a page, and wait until its scripts and pictures are there."""
        self._ask("Page.navigate", url=url)
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'", "the page")

    def run(self, script):
        """The value of an expression in the page."""
        result = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def wait(self, script, what):
        """Until an expression is true."""
        wait_until(
            lambda: self.run(f"Boolean({script})"),
            lambda: f"{what}; the page says: {self.run('document.body.innerText')[:2000]}",
            seconds=_PATIENCE_S,
        )

    def click(self, words):
        """Click once on what shows these words, a button or a tab, as soon as it is there."""
        shown = "one.textContent.trim().toLowerCase()"
        found = f"[...document.querySelectorAll('button, [role=tab], a')].find((one) => {shown} === {json.dumps(words.lower())})"
        self.wait(f"({found}?.click(), {found})", f"'{words}' to click on")

    def shoot(self, path):
        """A picture of the page."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", format="png")["data"]))

    def close(self):
        self._socket.close()


@contextmanager
def chromium(program, folder, *options):
    """A browser with a profile of its own; gives a page."""
    profile = folder / "profile"
    # Root has no sandbox to give away; the page is ours.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    command = [
        program,
        "--headless",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--window-size=1300,1100",
        "--remote-debugging-port=0",
    ]
    with (folder / "chromium.log").open("wb") as log:
        browser = subprocess.Popen([*command, *sandbox, *options, f"--user-data-dir={profile}", "about:blank"], stdout=log, stderr=log)
        try:
            told = profile / "DevToolsActivePort"
            wait_until(
                lambda: browser.poll() is not None or (told.exists() and told.read_text().count("\n")), "the browser's port", seconds=_PATIENCE_S
            )
            assert browser.poll() is None, (folder / "chromium.log").read_text()
            port = told.read_text().split()[0]
            with closing(HTTPConnection("127.0.0.1", int(port), timeout=_PATIENCE_S)) as connection:
                connection.request("PUT", "/json/new?about:blank")
                tab = Tab(json.load(connection.getresponse())["webSocketDebuggerUrl"])
            try:
                yield tab
            finally:
                tab.close()
        finally:
            browser.terminate()
            browser.wait(_PATIENCE_S)
