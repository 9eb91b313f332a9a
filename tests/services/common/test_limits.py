"""What a client may take up of a server: bytes, time, connections."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import psutil
import pytest

from tests.conftest import PROJECT_DIR
from tests.services.common.limited_server import ANSWER_SECONDS, KEEP_ALIVE_SECONDS, RECEIVE_SECONDS

# Connections that one address may hold, bytes and headers of a head: as docs/api.md says.
CONNECTIONS, HEAD_BYTES, HEADERS = 256, 64 * 1024, 100
# The limit, a second until the server looks, and a busy machine.
ENDED_SECONDS = RECEIVE_SECONDS + 5
MIB = 2**20


class Server:
    def __init__(self, port: int, process: psutil.Process) -> None:
        self.port = port
        self.process = process

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(
            ("127.0.0.1", self.port), timeout=10, source_address=(source, 0)
        )

    def is_up(self) -> bool:
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://127.0.0.1:{self.port}/healthz").status_code == 200
        return False

    def refused(self, kind: str) -> float:
        """How many connections were ended for a reason, as the metrics tell."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics").text
        _, _, after = text.partition(f'pollux_http_refused_total{{kind="{kind}"}} ')
        return float(after.split()[0]) if after else 0.0


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.services.common.limited_server", str(port)],
        cwd=PROJECT_DIR,
        env={name: value for name, value in os.environ.items() if not name.startswith("POLLUX_")},
    )
    try:
        found = Server(port, psutil.Process(process.pid))
        deadline = time.monotonic() + 60
        while not found.is_up():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield found
    finally:
        process.terminate()
        process.wait(timeout=30)


def all_of(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    found = b""
    with suppress(ConnectionResetError):
        while part := connection.recv(MIB):
            found += part
    return found


def ask(server: Server, head: bytes) -> bytes:
    with server.connect() as connection:
        with suppress(ConnectionError):
            connection.sendall(head)
        connection.shutdown(socket.SHUT_WR)
        return all_of(connection)


def problem_of(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    found: dict[str, Any] = json.loads(body)
    assert head.startswith(f"HTTP/1.1 {found['status']} ".encode())
    return found


START = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "piece", [b"X-Many: 1234567890\r\n" * 1000, b"a" * 20_000], ids=["many headers", "one header"]
)
def test_a_head_without_end_is_refused_at_a_few_hundred_kilobytes(
    server: Server, piece: bytes
) -> None:
    before, most = server.process.memory_info().rss, 0
    refused = server.refused("head-too-large")
    left = 200 * MIB
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
        connection.sendall(START + b"X-Long: ")
        with suppress(ConnectionError):
            while left > 0:
                connection.sendall(piece)
                left -= len(piece)
                most = max(most, server.process.memory_info().rss)
        found = problem_of(all_of(connection))
    # The rest waits in the sockets' buffers.
    assert left > 180 * MIB
    assert most - before < 20 * MIB
    assert (found["status"], found["type"]) == (431, "urn:pollux:problem:head-too-large")
    assert found["detail"] == (
        "Request line and headers may have 65536 bytes at most, in 100 headers."
    )
    assert found["instance"] == "/healthz"
    assert server.refused("head-too-large") == refused + 1


CHUNKED = (
    b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
)


@pytest.mark.parametrize(
    "piece", [b"X-Many: 1234567890\r\n" * 1000, b"a" * 20_000], ids=["many", "one"]
)
def test_trailers_without_end_are_refused_too(server: Server, piece: bytes) -> None:
    left = 20 * MIB
    with server.connect() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
        connection.sendall(CHUNKED + b"0\r\nX-Long: ")
        with suppress(ConnectionError):
            while left > 0:
                connection.sendall(piece)
                left -= len(piece)
        assert problem_of(all_of(connection))["status"] == 431
    assert left > 0


def test_small_trailers_and_many_small_pieces_of_a_body_are_fine(server: Server) -> None:
    # 180 kB of chunks for 30 kB of body.
    pieces = b"1\r\nx\r\n" * 30_000
    with server.connect() as connection:
        connection.sendall(CHUNKED + pieces + b"0\r\nX-Sum: 1\r\n\r\n")
        connection.sendall(START + b"Connection: close\r\n\r\n")
        answers = all_of(connection)
    assert answers.startswith(b"HTTP/1.1 200 ")
    assert b"\r\n\r\n30005HTTP/1.1 200 " in answers


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([b"X-Long: " + b"a" * (HEAD_BYTES - 100)], 200),
        ([b"X-Long: " + b"a" * HEAD_BYTES], 431),
        ([b"X-%d: 1" % number for number in range(HEADERS - 2)], 200),
        ([b"X-%d: 1" % number for number in range(HEADERS - 1)], 431),
    ],
    ids=["long", "too long", "many", "too many"],
)
def test_a_head_is_taken_up_to_its_limits(
    server: Server, headers: list[bytes], status: int
) -> None:
    head = START + b"\r\n".join([*headers, b"Connection: close", b"\r\n"])
    assert ask(server, head).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_path_counts_too(server: Server) -> None:
    head = b"GET /healthz?" + b"x" * HEAD_BYTES + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert problem_of(ask(server, head))["type"] == "urn:pollux:problem:head-too-large"


def test_a_head_behind_another_request_is_held_to_the_limits(server: Server) -> None:
    first = START + b"\r\n"
    second = START + b"X-Long: " + b"a" * HEAD_BYTES + b"\r\n\r\n"
    answers = ask(server, first + second)
    assert answers.count(b"head-too-large") == 1


def test_requests_in_one_piece_are_not_one_head(server: Server) -> None:
    # Twice what a head may have, and the last one ends in the next piece.
    count = 2 * HEAD_BYTES // len(START)
    requests = (START + b"\r\n") * count
    with server.connect() as connection:
        connection.sendall(requests + START)
        connection.sendall(b"Connection: close\r\n\r\n")
        assert all_of(connection).count(b"HTTP/1.1 200 OK") == count + 1


def test_what_is_no_request_is_a_problem(server: Server) -> None:
    found = problem_of(ask(server, b"nonsense\r\n\r\n"))
    assert (found["status"], found["type"]) == (400, "urn:pollux:problem:malformed-request")


POST = (
    b"POST /length HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 10\r\n\r\n"
)


def test_who_sends_too_slowly_is_ended(server: Server) -> None:
    with ExitStack() as stack:
        nothing, head, body, blank = (stack.enter_context(server.connect()) for _ in range(4))
        started = time.monotonic()
        head.sendall(START)
        body.sendall(POST + b"12345")
        # A request, and then nothing but what may stand between two.
        blank.sendall(START + b"\r\n")
        answer = b""
        while not answer.endswith(b'{"status":"up"}'):
            answer += blank.recv(MIB)
        blank.sendall(b"\r\n")
        for connection in (head, body, blank):
            found = problem_of(all_of(connection))
            assert (found["status"], found["type"]) == (408, "urn:pollux:problem:request-too-slow")
            limit = f"{RECEIVE_SECONDS:g} s (POLLUX_RECEIVE_SECONDS)"
            assert found["detail"] == f"The request was not there within {limit}."
        assert all_of(nothing) == b""
        assert time.monotonic() - started < ENDED_SECONDS


def test_a_connection_is_kept_for_a_while_after_an_answer(server: Server) -> None:
    with server.connect() as connection:
        started = time.monotonic()
        connection.sendall(START + b"\r\n")
        assert all_of(connection).startswith(b"HTTP/1.1 200 ")
        assert KEEP_ALIVE_SECONDS < time.monotonic() - started < ENDED_SECONDS


def test_trickling_does_not_extend_the_time(server: Server) -> None:
    started = time.monotonic()
    with server.connect() as connection, suppress(ConnectionError):
        connection.sendall(START)
        while time.monotonic() - started < 60:
            connection.sendall(b"X: 1\r\n")
            time.sleep(0.1)
    assert time.monotonic() - started < ENDED_SECONDS


def test_two_hundred_slow_clients_keep_nobody_waiting(server: Server) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(server.connect()) for _ in range(200)]
        for connection in slow:
            connection.sendall(START)
        started = time.monotonic()
        assert server.is_up()
        assert time.monotonic() - started < 1
        # They are ended, too.
        assert {problem_of(all_of(connection))["status"] for connection in slow} == {408}


def test_one_address_holds_so_many_connections(server: Server) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(server.connect("127.0.0.2")) for _ in range(CONNECTIONS)]
        found = problem_of(all_of(stack.enter_context(server.connect("127.0.0.2"))))
        assert (found["status"], found["type"]) == (429, "urn:pollux:problem:too-many-connections")
        assert found["detail"] == (
            "One address may hold 256 connections (POLLUX_CONNECTIONS_PER_ADDRESS)."
        )
        # Others have their own.
        assert server.is_up()
        held.pop().close()
        deadline = time.monotonic() + 10
        while True:
            with server.connect("127.0.0.2") as again:
                with suppress(ConnectionError):
                    again.sendall(START + b"\r\n")
                if again.recv(100).startswith(b"HTTP/1.1 200 "):
                    break
            assert time.monotonic() < deadline


def test_an_answer_that_does_not_begin_is_a_problem(server: Server) -> None:
    answer = httpx.get(f"http://127.0.0.1:{server.port}/late")
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:pollux:problem:answer-too-late"
    assert answer.json()["detail"] == (
        f"The answer did not begin within {ANSWER_SECONDS:g} s (POLLUX_ANSWER_SECONDS)."
    )
    assert answer.headers["retry-after"] == "5"


def test_an_answer_that_has_begun_is_not_cut(server: Server) -> None:
    assert httpx.get(f"http://127.0.0.1:{server.port}/long").text == "part\n" * 10


def test_who_takes_nothing_of_an_answer_is_ended(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
        deadline = time.monotonic() + 20
        while not server.refused("stalled-reader"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
