"""A real browser that opens a page and tells what it did: requests, errors, the page it made of it.

It is spoken to by pipe, in the Chrome DevTools Protocol; no port is opened. No name resolves in it,
so that it reaches nobody beyond 127.0.0.1, whatever a page or the browser itself asks for.

Source: Chrome DevTools Protocol, version 1.3; Chromium, `content_switches.cc`, the switch
`--remote-debugging-pipe`.
"""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANSWER_LIMIT_S = 30.0
PIECE_BYTES = 1 << 16
OPTIONS = (
    "--headless",
    "--no-sandbox",  # tests may run as root, where the browser has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
    "about:blank",
)
# The protocol's pipes are the descriptors 3 and 4 of the browser.
STARTER = 'exec "${@:3}" 3<&"$1" 4>&"$2"'
# Of a key: its code, its number, and the text it types.
KEYS = {"Tab": ("Tab", 9, ""), "Enter": ("Enter", 13, "\r"), "Space": ("Space", 32, " ")}
# What is said of JavaScript whose page made room for another one while it ran.
GONE = ("Inspected target navigated or closed", "Execution context was destroyed.")
QUIET = ("Page.enable", "Runtime.enable", "Log.enable", "Network.enable")


class PageGoneError(Exception):
    """Another page took the place of the one that was asked."""


@dataclass
class Seen:
    """What a browser did with a page.

    Attributes:
        requests: Every address it asked for, the page's own first.
        errors: What scripts raised, and what the browser complains about.
    """

    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Browser:
    """One page of a browser that is running."""

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers = commands, answers
        self._rest = b""
        self._number = 0
        self._events: list[dict[str, Any]] = []
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for method in QUIET:
            self._call(method)

    def open(self, page: Path) -> Seen:
        """Opens a file, waits until it is loaded, and tells what happened on the way."""
        return self.visit(page.as_uri())

    def visit(self, address: str) -> Seen:
        """The same for what has an address."""
        self._events.clear()
        self._call("Page.navigate", url=address)
        self._wait("Page.loadEventFired")
        self.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")
        return self.seen()

    def evaluate(self, expression: str) -> Any:
        """Gives the value of JavaScript on the page."""
        answer = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        """Waits until JavaScript on the page is true, or on the page that takes its place."""
        look = f"() => ({condition}) ? done() : requestAnimationFrame(look)"
        waiting = f"new Promise(done => {{ const look = {look}; look() }})"
        try:
            self.evaluate(waiting)
        except PageGoneError:
            self.evaluate(waiting)

    def click(self, selector: str) -> None:
        """Presses the mouse where the one element is that CSS finds."""
        box = f"document.querySelector({json.dumps(selector)}).getBoundingClientRect()"
        self.evaluate(f"document.querySelector({json.dumps(selector)}).scrollIntoView()")
        x, y = self.evaluate(f"(box => [box.x + box.width / 2, box.y + box.height / 2])({box})")
        for kind in ("mousePressed", "mouseReleased"):
            place = {"x": x, "y": y, "button": "left", "clickCount": 1}
            self._call("Input.dispatchMouseEvent", type=kind, **place)

    def type(self, text: str) -> None:
        """Types a text where the cursor is."""
        self._call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Presses a key: Tab, Enter or Space."""
        code, number, text = KEYS[key]
        names = {"key": text if key == "Space" else key, "code": code}
        numbers = {"windowsVirtualKeyCode": number}
        self._call("Input.dispatchKeyEvent", type="keyDown", text=text, **names, **numbers)
        self._call("Input.dispatchKeyEvent", type="keyUp", **names, **numbers)

    def show_as(self, *, scheme: str = "light", media: str = "screen") -> None:
        """Asks for light or dark, the screen or paper."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", media=media, features=features)

    def resize(self, width: int, height: int) -> None:
        """Gives the window a size in pixels."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def screenshot(self, *, height: int | None = None) -> bytes:
        """Gives the page as PNG: from its top, as high as it is or as asked for."""
        width, whole = self.evaluate("[innerWidth, document.documentElement.scrollHeight]")
        clip = {"x": 0, "y": 0, "width": width, "height": height or whole, "scale": 1}
        answer = self._call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return base64.b64decode(answer["data"])

    def pdf(self) -> bytes:
        """Gives the page as it is printed."""
        return base64.b64decode(self._call("Page.printToPDF", printBackground=True)["data"])

    def close(self) -> None:
        """Asks the browser to end."""
        with suppress(BrokenPipeError, EOFError):
            self._session = None
            self._call("Browser.close")

    def seen(self) -> Seen:
        """What happened since the page was opened, as far as the browser has told."""
        seen = Seen()
        for event in self._events:
            parameters = event["params"]
            match event["method"]:
                case "Network.requestWillBeSent":
                    seen.requests.append(parameters["request"]["url"])
                case "Runtime.exceptionThrown":
                    seen.errors.append(str(parameters["exceptionDetails"]))
                case "Log.entryAdded":
                    seen.errors.append(parameters["entry"]["text"])
                case "Network.loadingFailed":
                    seen.errors.append(parameters["errorText"])
        return seen

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        command = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            message = self._read()
            if message.get("id") == self._number:
                error = message.get("error")
                if error is not None and error["message"] in GONE:
                    raise PageGoneError(error["message"])
                assert error is None, error
                result: dict[str, Any] = message["result"]
                return result

    def _wait(self, method: str) -> None:
        while all(event["method"] != method for event in self._events):
            self._read()

    def _read(self) -> dict[str, Any]:
        ends_at = time.monotonic() + ANSWER_LIMIT_S
        while b"\0" not in self._rest:
            left = max(0.0, ends_at - time.monotonic())
            assert select.select([self._answers], [], [], left)[0], "the browser does not answer"
            piece = os.read(self._answers, PIECE_BYTES)
            if not piece:
                raise EOFError
            self._rest += piece
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if "method" in message:
            self._events.append(message)
        return message


@contextmanager
def running(program: str, directory: Path) -> Iterator[Browser]:
    """Runs a browser with a profile of its own; ended when the block ends."""
    from_browser, to_test = os.pipe()
    from_test, to_browser = os.pipe()
    descriptors = (str(from_test), str(to_test))
    command = [program, f"--user-data-dir={directory}", *OPTIONS]
    process = subprocess.Popen(
        ["bash", "-c", STARTER, "bash", *descriptors, *command],
        pass_fds=(from_test, to_test),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "HOME": str(directory)},
        start_new_session=True,
    )
    os.close(from_test)
    os.close(to_test)
    try:
        browser = Browser(to_browser, from_browser)
        yield browser
        browser.close()
    finally:
        os.close(to_browser)
        os.close(from_browser)
        with suppress(subprocess.TimeoutExpired):
            process.wait(ANSWER_LIMIT_S / 3)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
