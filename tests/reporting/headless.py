"""Chromium without a window, spoken to in its DevTools protocol over a pair of pipes.

So a page is looked at as a person sees it (width, dark or light, on paper), and everything that it
says on the console or asks of a network is heard. https://chromedevtools.github.io/devtools-protocol
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = shutil.which("chromium")
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
_PATIENCE = 60.0  # seconds for one answer


class Browser:
    """One browser with one page; a context manager.

    `said` collects what the page wrote on its console or threw, and what the browser logged about
    it; `asked` the addresses it wanted, its own among them.
    """

    def __init__(self, profile: Path) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self._count = 0
        self._left = b""
        self._session: str | None = None
        # Chromium reads from descriptor 3 and writes to 4; high numbers cannot be in their way.
        ends = [[fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in os.pipe()] for _ in range(2)]
        (its_in, self._out), (self._in, its_out) = ends
        wire = f'exec "$@" 3<&{its_in} 4>&{its_out}'
        self._process = subprocess.Popen(
            [
                *("bash", "-c", wire, "bash", str(CHROMIUM), *_OPTIONS),
                *("--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"),
            ],
            pass_fds=(its_in, its_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(its_in)
        os.close(its_out)

    def __enter__(self) -> Browser:
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(target["targetId"] for target in targets if target["type"] == "page")
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._process.wait(timeout=_PATIENCE)
        os.close(self._in)
        os.close(self._out)

    def open(self, page: Path, *, width: int, height: int = 1000, dark: bool = False) -> None:
        """Load a page at a width and wait until its charts are drawn."""
        self.said.clear()
        self.asked.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            **{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600},
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page.as_uri())
        self.wait_for("document.readyState === 'complete' && location.protocol === 'file:'")
        self.wait_for("[...document.querySelectorAll('.chart')].every(c => c.childElementCount)")
        self.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 150)))")

    def wait_for(self, condition: str) -> None:
        """Until a JavaScript expression is true; TimeoutError when it never is."""
        end = time.monotonic() + _PATIENCE
        while not self.evaluate(condition):
            if time.monotonic() > end:
                raise TimeoutError(f"never true: {condition}")
            time.sleep(0.05)

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, or of its promise; RuntimeError if it throws."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def screenshot(self, out: Path, *, whole: bool = True) -> None:
        """A PNG of the page as it stands."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=whole)
        out.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        """The page on A4 paper."""
        paper = {"paperWidth": 8.27, "paperHeight": 11.69}
        return base64.b64decode(self.call("Page.printToPDF", **paper)["data"])

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol and its answer; RuntimeError with what the browser says."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while (heard := self._hear()).get("id") != self._count:
            self._note(heard)
        if "error" in heard:
            raise RuntimeError(f"{method}: {heard['error']['message']}")
        return heard["result"]

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            if not select.select([self._in], [], [], _PATIENCE)[0]:
                raise TimeoutError("the browser says nothing")
            part = os.read(self._in, 1 << 20)
            if not part:
                raise EOFError("the browser is gone")
            self._left += part
        message, _, self._left = self._left.partition(b"\0")
        return json.loads(message)

    def _note(self, heard: dict[str, Any]) -> None:
        told = heard.get("params", {})
        match heard.get("method"):
            case "Runtime.consoleAPICalled":
                said = (str(part.get("value", part.get("description"))) for part in told["args"])
                self.said.append(f"{told['type']}: {' '.join(said)}")
            case "Runtime.exceptionThrown":
                self.said.append(f"thrown: {told['exceptionDetails']}")
            case "Log.entryAdded":
                self.said.append(f"{told['entry']['level']}: {told['entry']['text']}")
            case "Network.requestWillBeSent":
                self.asked.append(told["request"]["url"])
