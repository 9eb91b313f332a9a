"""What a client may take up: the bytes of a request's head, time, connections.

Belongs here: uvicorn's protocol with the limits that it lacks, and the problems of what exceeds
them. Does not belong here: limits of a body, which its route knows (`services.common.bodies`).
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from pollux.runtime.settings import Settings
from services.common.problems import MEDIA_TYPE, ProblemError

MAX_HEAD_BYTES = 64 * 1024
MAX_HEADERS = 100
# The most that is read at once, by uvloop and by asyncio.
READ_BYTES = 256 * 1024
# How long a client may take nothing of an answer that waits for it.
STALL_SECONDS = 60.0


@dataclass(frozen=True)
class Limits:
    """What a client may take up: seconds, and connections of one address (0: any number)."""

    receive_seconds: float
    answer_seconds: float
    connections_per_address: int
    stall_seconds: float = STALL_SECONDS

    @staticmethod
    def of(settings: Settings) -> "Limits":
        """The limits that the settings give."""
        return Limits(
            settings.receive_seconds, settings.answer_seconds, settings.connections_per_address
        )


class Connections:
    """The open connections of a server; `on_refusal` is told the kind of each problem."""

    def __init__(self, limits: Limits, on_refusal: Callable[[str], None]) -> None:
        self.limits = limits
        self.on_refusal = on_refusal
        self._open: set[LimitedProtocol] = set()
        self._by_address: Counter[str] = Counter()

    def add(self, connection: "LimitedProtocol", address: str) -> bool:
        """Counts a connection; false if its address has too many."""
        self._open.add(connection)
        self._by_address[address] += 1
        allowed = self.limits.connections_per_address
        return not allowed or self._by_address[address] <= allowed

    def remove(self, connection: "LimitedProtocol", address: str) -> None:
        """Forgets a connection that has ended."""
        self._open.discard(connection)
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]

    async def end_overdue(self) -> None:
        """Ends the connections that took too long; uvicorn calls it every second."""
        now = asyncio.get_running_loop().time()
        for connection in list(self._open):
            connection.end_if_overdue(now)


class LimitedProtocol(HttpToolsProtocol):
    """A connection whose client may take up so much and no more."""

    def __init__(self, *args: Any, connections: Connections, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        self._connections = connections
        self._limits = connections.limits
        self._address = ""
        self.url, self.headers = b"", []
        # When what is arriving began to, or the connection.
        self._since = 0.0
        self._is_arriving = True
        self._running: RequestResponseCycle | None = None
        self._running_since = self._answered_at = 0.0
        self._task: asyncio.Task[None] | None = None
        # Bytes read since the last piece of a body or the last request: a head, trailers, blank
        # lines, and what came before them in the same read.
        self._pending = 0
        self._read = 0
        self._refusal: ProblemError | None = None
        self._unsent, self._unsent_since = 0, 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Counts the connection; refuses one too many."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._address = self.client[0] if self.client else ""
        if not self._connections.add(self, self._address):
            self._refuse(too_many_connections(self._limits.connections_per_address))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        self._connections.remove(self, self._address)
        super().connection_lost(exc)

    # By the class's name, since super() costs each request more.

    def data_received(self, data: bytes) -> None:
        """Reads on, unless head or trailers are too large already."""
        if not self._is_arriving:
            self._is_arriving = True
            self._since = self.loop.time()
        self._read = len(data)
        self._pending += self._read
        HttpToolsProtocol.data_received(self, data)
        if self._pending and not self.transport.is_closing():
            # Requests before this one may have been in the first read.
            is_large = self._pending > MAX_HEAD_BYTES + READ_BYTES
            if is_large or len(self.headers) > MAX_HEADERS:
                self._refuse(head_too_large())

    def on_headers_complete(self) -> None:
        """The head is there; raises `ValueError`, which uvicorn answers, if it is too large."""
        may_be_large = self._pending + self._read > MAX_HEAD_BYTES
        is_large = may_be_large and self._head_bytes() > MAX_HEAD_BYTES
        if is_large or len(self.headers) > MAX_HEADERS:
            self._refusal = head_too_large()
            raise ValueError
        self._pending = 0
        HttpToolsProtocol.on_headers_complete(self)

    def on_body(self, body: bytes) -> None:
        """A piece of the body is there."""
        self._pending = 0
        HttpToolsProtocol.on_body(self, body)

    def on_message_complete(self) -> None:
        """The request is there, with its body."""
        self._is_arriving = False
        self._pending = 0
        HttpToolsProtocol.on_message_complete(self)

    def send_400_response(self, msg: str) -> None:
        """Answers what cannot be read, or was refused while it was read."""
        self._refuse(self._refusal or malformed(msg))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        # As uvicorn does, which keeps no task for a connection.
        self._task = self.loop.create_task(cycle.run_asgi(app))
        self._task.add_done_callback(self.tasks.discard)
        self.tasks.add(self._task)
        self._running, self._running_since = cycle, self.loop.time()

    def on_response_complete(self) -> None:
        """The answer is sent: the next request, if it is there, has its turn."""
        # As uvicorn does, which starts a timer for each answer.
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._answered_at = self.loop.time()

    def end_if_overdue(self, now: float) -> None:
        """Ends the connection if its client was too slow, or the answer to it."""
        self._end_if_stalled(now)
        if self.transport.is_closing():
            return
        running = self._running
        is_due = running is not None and not running.response_complete
        if running is not None and is_due and not running.more_body:
            # What the client sent after that waits in the server.
            self._since = now
            passed = now - self._running_since
            if not running.response_started and passed > self._limits.answer_seconds:
                self._end_late()
        elif self._is_arriving and now - self._since > self._limits.receive_seconds:
            self._end_slow(is_due=is_due)
        elif not self._is_arriving and now - self._answered_at > self.timeout_keep_alive:
            self.transport.close()

    def _end_if_stalled(self, now: float) -> None:
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self._unsent:
            self._unsent, self._unsent_since = unsent, now
        elif now - self._unsent_since > self._limits.stall_seconds:
            self._connections.on_refusal("stalled-reader")
            self.transport.abort()

    def _end_slow(self, *, is_due: bool) -> None:
        if self._pending or is_due:
            self._refuse(request_too_slow(self._limits.receive_seconds))
        else:
            # Nothing was asked, or the answer is sent while the body still comes.
            self.transport.close()

    def _end_late(self) -> None:
        self._refuse(answer_too_late(self._limits.answer_seconds))
        if self._task is not None:
            self._task.cancel("the answer did not begin in time")

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _refuse(self, problem: ProblemError) -> None:
        self._connections.on_refusal(problem.kind)
        running = self._running
        if running is None or running.response_complete:
            self.transport.write(self._written(problem))
        else:
            if not running.response_started:
                self.transport.write(self._written(problem))
            # The app may still work on it: what it sends goes nowhere.
            running.disconnected = True
            running.message_event.set()
        self.transport.close()

    def _written(self, problem: ProblemError) -> bytes:
        path = self.url.partition(b"?")[0].decode("ascii", "replace")
        body = orjson.dumps(problem.document(path))
        headers = {
            b"content-type": MEDIA_TYPE.encode(),
            b"content-length": str(len(body)).encode(),
            b"cache-control": b"no-store",
            b"connection": b"close",
        } | {name.lower().encode(): value.encode() for name, value in problem.headers.items()}
        lines = [*self.server_state.default_headers, *headers.items()]
        head = b"".join(name + b": " + value + b"\r\n" for name, value in lines)
        return STATUS_LINE[problem.status] + head + b"\r\n" + body


def head_too_large() -> ProblemError:
    """The problem of a request line and headers above the limits."""
    return ProblemError(
        HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        "head-too-large",
        "Head too large",
        f"Request line and headers may have {MAX_HEAD_BYTES} bytes at most, in {MAX_HEADERS} "
        "headers.",
    )


def request_too_slow(seconds: float) -> ProblemError:
    """The problem of a request that did not arrive in time."""
    return ProblemError(
        HTTPStatus.REQUEST_TIMEOUT,
        "request-too-slow",
        "Request too slow",
        f"The request was not there within {seconds:g} s (POLLUX_RECEIVE_SECONDS).",
    )


def answer_too_late(seconds: float) -> ProblemError:
    """The problem of an answer that did not begin in time."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "answer-too-late",
        "Answer took too long",
        f"The answer did not begin within {seconds:g} s (POLLUX_ANSWER_SECONDS).",
        headers={"Retry-After": "5"},
    )


def too_many_connections(allowed: int) -> ProblemError:
    """The problem of one connection more than an address may hold."""
    return ProblemError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "too-many-connections",
        "Too many connections",
        f"One address may hold {allowed} connections (POLLUX_CONNECTIONS_PER_ADDRESS).",
        headers={"Retry-After": "1"},
    )


def malformed(why: str) -> ProblemError:
    """The problem of bytes that are no HTTP request."""
    return ProblemError(HTTPStatus.BAD_REQUEST, "malformed-request", "Malformed request", why)
