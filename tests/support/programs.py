"""Programs and servers that tests run, and waiting for what they do."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx

HOST = "127.0.0.1"
SECONDS = 30.0
# Who waits for long looks seldom: whatever is waited for needs the processor.
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.02, 0.5
# One for all: to make a client takes a hundred times as long as to ask by it.
HTTP = httpx.Client(
    trust_env=False, timeout=SECONDS, limits=httpx.Limits(max_keepalive_connections=0)
)
T = TypeVar("T")


def wait_for(
    what: Callable[[], T], seconds: float = SECONDS, *, log: Callable[[], str] | None = None
) -> T:
    """The first truthy value of `what`; fails where there is none in time, with the `log`."""
    started = time.monotonic()
    while not (found := what()):
        waited = time.monotonic() - started
        assert waited < seconds, log() if log else "it did not happen in time"
        time.sleep(min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS + waited / 20))
    return found


@contextmanager
def running(
    command: Sequence[str | Path],
    answers: Callable[[], bool],
    *,
    log: Path,
    seconds: float = SECONDS,
    **options: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program from when it answers to the end of the block; what it says is added to `log`."""

    def said() -> str:
        return log.read_text(errors="replace")

    def is_up() -> bool:
        assert process.poll() is None, said()
        return answers()

    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, **options)
    try:
        wait_for(is_up, seconds, log=said)
        yield process
    finally:
        process.terminate()
        process.wait(SECONDS)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """The port of an HTTP server in threads of this process, open to the end of the block."""
    server = ThreadingHTTPServer((HOST, 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    """A port of this machine at which nothing listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def is_open(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def is_ok(url: str) -> bool:
    """Whether a URL of this machine is answered with 200."""
    with suppress(httpx.TransportError):
        return HTTP.get(url).status_code == HTTPStatus.OK
    return False
