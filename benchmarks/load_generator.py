"""A small HTTP/1.1 load generator over raw asyncio, run as a process of its own.

It sends requests over kept-alive connections and measures their answers, with only the standard
library (and uvloop where it is installed).

Two kinds of load. `closed`: each of N connections sends its next request when the last one is
answered; this measures throughput. `open`: requests leave on a fixed schedule, whatever the
server does, and latency counts from the scheduled time; this measures how long users wait, and
includes the requests that a stalled server would have kept from being sent.
"""

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

Kind = Literal["closed", "open"]


class Measured(NamedTuple):
    """Answers by status, their total seconds, and latencies in milliseconds."""

    seconds: float
    requests: int
    statuses: dict[str, int]
    latencies_ms: list[float]

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """The latency that `percent` of the answers do not exceed."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def measure(
    *,
    port: int,
    paths: list[str],
    kind: Kind,
    seconds: float,
    connections: int = 50,
    rate: float = 0,
    headers: dict[str, str] | None = None,
    bodies: list[str] | None = None,
) -> Measured:
    """Runs the generator in a process of its own; raises `RuntimeError` when it fails.

    With `bodies` (JSON) the requests are POST, with paths and bodies in turn; else GET.
    """
    task = {
        "port": port,
        "paths": paths,
        "kind": kind,
        "seconds": seconds,
        "connections": connections,
        "rate": rate,
        "headers": headers or {},
        "bodies": bodies or [],
    }
    done = subprocess.run(
        [sys.executable, str(Path(__file__).resolve())],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=seconds + 60,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"the load generator failed:\n{done.stderr}")
    return Measured(**json.loads(done.stdout))


class _Connection(asyncio.Protocol):
    """One kept-alive connection; `answered` is called with itself and the status."""

    def __init__(self, load: "_Load") -> None:
        self.load = load
        self.buffer = b""
        self.missing = 0
        self.status = ""
        self.since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, since: float) -> None:
        self.since = since
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        if self.missing:
            self.missing -= len(data)
        else:
            self.buffer += data
            head, found, body = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return
            self.buffer = b""
            self.status = head[9:12].decode()
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self.missing = int(length) - len(body)
        if self.missing <= 0:
            self.missing = 0
            self.load.answered(self, self.status)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.load.lost(self)


def _requests(task: dict[str, Any]) -> list[bytes]:
    extra = "".join(f"{name}: {value}\r\n" for name, value in task["headers"].items())
    head = f" HTTP/1.1\r\nHost: localhost\r\n{extra}"
    if not task["bodies"]:
        return [f"GET {path}{head}\r\n".encode() for path in task["paths"]]
    kind = "Content-Type: application/json\r\n"
    return [
        f"POST {path}{head}{kind}Content-Length: {len(body.encode())}\r\n\r\n{body}".encode()
        for body in task["bodies"]
        for path in task["paths"]
    ]


class _Load:
    def __init__(self, task: dict[str, Any]) -> None:
        self.task = task
        self.requests = cycle(_requests(task))
        self.closed = task["kind"] == "closed"
        self.latencies: list[float] = []
        self.statuses: dict[str, int] = {}
        self.idle: list[_Connection] = []
        self.waiting: deque[float] = deque()
        self.ending = False
        self.scheduled = sys.maxsize
        self.finished = asyncio.Event()

    def answered(self, connection: _Connection, status: str) -> None:
        now = time.perf_counter()
        if self.finished.is_set():
            return
        self.latencies.append(now - connection.since)
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if self.closed:
            if not self.ending:
                connection.send(next(self.requests), now)
        elif self.waiting:
            connection.send(next(self.requests), self.waiting.popleft())
        else:
            self.idle.append(connection)
        if len(self.latencies) >= self.scheduled:
            self.finished.set()

    def lost(self, connection: _Connection) -> None:
        if connection in self.idle:
            # Of a slow load the last ones are idle for so long that the server closes them.
            self.idle.remove(connection)
        elif not self.ending:
            sys.exit("the server closed a connection")

    async def run(self) -> Measured:
        loop = asyncio.get_running_loop()
        for _ in range(self.task["connections"]):
            _, connection = await loop.create_connection(
                lambda: _Connection(self), "127.0.0.1", self.task["port"]
            )
            self.idle.append(connection)
        start = time.perf_counter()
        await (self._run_closed() if self.closed else self._run_open(start))
        seconds = time.perf_counter() - start
        self.ending = True
        milliseconds = [round(latency * 1000, 3) for latency in self.latencies]
        return Measured(seconds, len(milliseconds), self.statuses, milliseconds)

    async def _run_closed(self) -> None:
        for connection in self.idle:
            connection.send(next(self.requests), time.perf_counter())
        await asyncio.sleep(self.task["seconds"])
        self.finished.set()

    async def _run_open(self, start: float) -> None:
        self.scheduled = int(self.task["rate"] * self.task["seconds"])
        for number in range(self.scheduled):
            due = start + number / self.task["rate"]
            if (ahead := due - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            if self.idle:
                self.idle.pop().send(next(self.requests), due)
            else:
                self.waiting.append(due)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.finished.wait(), timeout=10)
        # What was never answered must not look fast.
        self.latencies += [10.0] * (self.scheduled - len(self.latencies))


def _main() -> None:
    argparse.ArgumentParser(description="Reads a task as JSON from standard input.").parse_args()
    task = json.load(sys.stdin)
    # Its own pauses must not count as the server's.
    gc.disable()
    with suppress(ImportError):
        import uvloop  # noqa: PLC0415

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    measured = asyncio.run(_Load(task).run())
    json.dump(measured._asdict(), sys.stdout)


if __name__ == "__main__":
    _main()
