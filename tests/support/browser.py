"""A headless Chromium, driven by its own DevTools protocol."""

import base64
import itertools
import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --hide-scrollbars --no-first-run "
    "--disable-background-networking --disable-component-update --window-size=1500,950 "
    "--remote-debugging-port=0"
)
START_SECONDS = 60


class Page:
    """One tab; `errors` has the console's errors and failed requests, `requests` the URLs."""

    def __init__(self, socket: ClientConnection, tabs: str) -> None:
        """Drives a tab by its socket; `tabs` is the address below which those of others are."""
        self._socket = socket
        self._tabs = tabs
        self._numbers = itertools.count(1)
        self.errors: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, url: str, *, until: str, seconds: float = 60) -> None:
        """Opens a page and waits until a piece of JavaScript is true."""
        self._call("Page.navigate", url=url)
        self.wait(until, seconds=seconds)

    def wait(self, until: str, *, seconds: float = 60) -> None:
        """Waits until a piece of JavaScript is true."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(until):
            text = str(self.evaluate("document.body.innerText"))
            assert time.monotonic() < deadline, f"{until} did not come true:\n{text[:2000]}"
            time.sleep(0.3)

    @contextmanager
    def tab(self) -> Iterator["Page"]:
        """Another tab of the same browser, beside this one."""
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        with _connect(f"{self._tabs}/{target}") as socket:
            yield Page(socket, self._tabs)
        self._call("Target.closeTarget", targetId=target)

    def evaluate(self, expression: str) -> Any:
        """The value of a piece of JavaScript; of a promise, what it promises."""
        answer = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        return answer["result"].get("value")

    def resize(self, width: int, height: int) -> None:
        """Makes the window as large as this, in pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._call("Emulation.setDeviceMetricsOverride", **size)

    def prefer(self, scheme: str) -> None:
        """Prefers light or dark pages."""
        preferred = [{"name": "prefers-color-scheme", "value": scheme}]
        self._call("Emulation.setEmulatedMedia", features=preferred)

    def click(self, x: float, y: float) -> None:
        """Clicks at a point of the window."""
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            at = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            self._call("Input.dispatchMouseEvent", **at)

    def type(self, text: str) -> None:
        """Types a text and Enter where the focus is."""
        self._call("Input.insertText", text=text)
        enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, **enter)

    def save_downloads(self, folder: Path) -> None:
        """Saves what is downloaded from now on to a folder."""
        self._call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def picture(self, path: Path) -> None:
        """Writes a screenshot, as PNG or WebP by the name's ending."""
        answer = self._call("Page.captureScreenshot", format=path.suffix.removeprefix("."))
        path.write_bytes(base64.b64decode(answer["data"]))

    def _call(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=120))
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message["result"]
                return result
            self._read(message)

    def _read(self, message: dict[str, Any]) -> None:
        content = message.get("params", {})
        if message["method"] == "Network.requestWillBeSent":
            self.requests.append(content["request"]["url"])
        elif message["method"] == "Network.webSocketCreated":
            self.requests.append(content["url"])
        elif message["method"] == "Network.loadingFailed" and not content.get("canceled"):
            self.errors.append(content["errorText"])
        elif message["method"] == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(content["exceptionDetails"])[:500])
        elif message["method"] == "Log.entryAdded" and content["entry"]["level"] == "error":
            self.errors.append(f"{content['entry']['text']} {content['entry'].get('url')}")
        elif message["method"] == "Runtime.consoleAPICalled" and content["type"] == "error":
            self.errors.append(json.dumps(content["args"])[:500])


def _connect(address: str) -> ClientConnection:
    # A browser that has much else to do answers no ping for long, and is there all the same.
    return connect(address, max_size=None, proxy=None, ping_interval=None)


@contextmanager
def browse(program: str, profile: Path) -> Iterator[Page]:
    """A browser with one tab."""
    command = [program, *OPTIONS.split(), f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port_file = profile / "DevToolsActivePort"
        deadline = time.monotonic() + START_SECONDS
        while not port_file.exists() or not port_file.read_text().strip():
            assert time.monotonic() < deadline, "Chromium did not come up"
            time.sleep(0.1)
        port = port_file.read_text().split()[0]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/json", timeout=120) as answer:
            tab = next(t for t in json.load(answer) if t["type"] == "page")
        address = tab["webSocketDebuggerUrl"]
        with _connect(address) as socket:
            yield Page(socket, address.rpartition("/")[0])
    finally:
        process.terminate()
        process.wait(timeout=120)
