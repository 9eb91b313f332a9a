"""The metrics that every HTTP service has, in the Prometheus format."""

import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pollux.masking import where_raised
from services.common.problems import internal_error
from services.common.releases import Release
from services.common.request_log import RequestLog
from services.common.require_key import KEY_IN_SCOPE

BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
UNMATCHED = "unmatched"
ANSWERED = {HTTPStatus.OK, HTTPStatus.NOT_MODIFIED}

log = logging.getLogger("pollux.services")


class AnswerCutShortError(Exception):
    """An answer that had begun could not be completed."""


class Metrics:
    """The metrics of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self.requests = Counter(
            "pollux_http_requests", "Requests.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "pollux_http_request_seconds",
            "Time from a request to the end of its answer.",
            ["route"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.memory = Counter(
            "pollux_answers",
            "Answers made from a release, by where they came from: memory or database.",
            ["source"],
            registry=self.registry,
        )
        self.release = Gauge(
            "pollux_current_release", "Current release.", ["domain"], registry=self.registry
        )
        self.release_age = Gauge(
            "pollux_release_age_seconds",
            "Time since the current release was made.",
            ["domain"],
            registry=self.registry,
        )
        self.refused = Counter(
            "pollux_http_refused",
            "Connections that a problem ended, by its kind.",
            ["kind"],
            registry=self.registry,
        )
        self.refused_keys = Counter(
            "pollux_keys_refused",
            "Requests whose key was refused: unknown, expired, without the scope, above its limit.",
            ["reason"],
            registry=self.registry,
        )
        self._requests: dict[tuple[str, int], Counter] = {}
        self._seconds: dict[str, Histogram] = {}
        self._from_memory = self.memory.labels("memory")
        self._from_database = self.memory.labels("database")

    def observe(self, route: str, status: int, seconds: float, *, from_memory: bool) -> None:
        """Counts one answer."""
        # Looking up a child by its labels costs more than counting.
        counter = self._requests.get((route, status))
        if counter is None:
            counter = self._requests[route, status] = self.requests.labels(route, str(status))
            self._seconds.setdefault(route, self.seconds.labels(route))
        counter.inc()
        self._seconds[route].observe(seconds)
        if route.startswith("/v1/") and status in ANSWERED:
            (self._from_memory if from_memory else self._from_database).inc()

    def refuse(self, kind: str) -> None:
        """Counts a connection that a problem ended."""
        self.refused.labels(kind).inc()

    def refuse_key(self, reason: str) -> None:
        """Counts a request whose key was refused."""
        self.refused_keys.labels(reason).inc()

    def know_releases(self, releases: Mapping[str, Release]) -> None:
        """Shows the current releases."""
        self.release.clear()
        self.release_age.clear()
        for release in releases.values():
            self.release.labels(release.domain).set(release.number)
            if (made := release.released_at) is not None:
                age = self.release_age.labels(release.domain)
                age.set_function(partial(seconds_since, made))

    def text(self) -> bytes:
        """The metrics as text."""
        return generate_latest(self.registry)


def seconds_since(moment: datetime) -> float:
    """How long ago a moment was; 0 where the clock of who wrote it is ahead."""
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())


class Observe:
    """The outermost middleware: counts and logs answers, answers HEAD, turns a fault into a 500."""

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, request_log: RequestLog | None = None
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.request_log = request_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, counts its answer, and logs it if there is a log."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0
        headers: list[tuple[bytes, bytes]] = []
        method = scope["method"]
        is_head = method == "HEAD"
        if is_head:
            # A copy: the server decides by its own scope whether a body may follow.
            scope = {**scope, "method": "GET", "pollux.is_head": True}

        async def send_on(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.get("headers", headers)
            elif is_head:
                message = {**message, "body": b""}
            await send(message)

        try:
            await self.app(scope, receive, send_on)
        except Exception as error:
            route = getattr(scope.get("route"), "path_format", UNMATCHED)
            log.error("A request failed: %s %s\n%s", method, route, where_raised(error))  # noqa: TRY400
            if status:
                # Part of the answer is sent: only closing the connection shows it is incomplete.
                # The server logs what it is raised, so that has no values either.
                raise AnswerCutShortError from None
            await internal_error().response(scope)(scope, receive, send_on)
        finally:
            kept_route: str | None = scope.get("pollux.kept_route")
            found: str = getattr(scope.get("route"), "path_format", UNMATCHED)
            route = found if kept_route is None else kept_route
            seconds = time.perf_counter() - started
            self.metrics.observe(route, status, seconds, from_memory=kept_route is not None)
            if self.request_log is not None:
                self.request_log.write(
                    method=method,
                    route=route,
                    status=status,
                    seconds=seconds,
                    headers=headers,
                    key=None if (key := scope.get(KEY_IN_SCOPE)) is None else key.name,
                )
