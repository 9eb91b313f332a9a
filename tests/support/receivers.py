"""A receiver of webhooks: an HTTP server that says what it was sent, and answers as it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

import standardwebhooks

from pollux.runtime.settings import Settings
from tests.support.programs import serving, wait_for

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WAIT_SECONDS = 30.0


class Received(NamedTuple):
    """A request: its path, headers and body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The body, once the signature is right."""
        found: dict[str, Any] = standardwebhooks.Webhook(SECRET).verify(self.body, self.headers)
        return found

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def number(self) -> int:
        """The release that it tells of."""
        return int(json.loads(self.body)["data"]["number"])


class Receiver:
    """What came, in order; `statuses` are answered one after the other, then `status`."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook?key=sesame"
        self.received: list[Received] = []
        self.statuses: list[int] = []
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()

    def settings(self, settings: Settings) -> Settings:
        """The settings with this receiver."""
        named = {"release_webhooks": self.url, "release_webhook_secret": SECRET}
        return Settings.model_validate(settings.model_dump() | named)

    def wait(self, count: int) -> list[Received]:
        """What came, once it is so many."""
        wait_for(lambda: len(self.received) >= count, log=lambda: f"{self.received} is not {count}")
        return self.received


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            receiver.received.append(Received(self.path, headers, body))
            receiver.answers.wait(WAIT_SECONDS)
            status = receiver.statuses.pop(0) if receiver.statuses else receiver.status
            self.send_response(status)
            if status in (301, 302, 307, 308):
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as port:
        receiver = Receiver(port)
        try:
            yield receiver
        finally:
            receiver.answers.set()
