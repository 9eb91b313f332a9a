"""The log of requests: a line of JSON each, without any value that a client sent."""

import sys
from contextlib import suppress
from datetime import UTC, datetime

import orjson

FORMAT = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z
# Of an answer, what it was made from.
SOURCES = frozenset({b"x-pollux-release", b"x-pollux-model"})


class RequestLog:
    """Writes the lines of one service."""

    def __init__(self, service: str) -> None:
        self._service = service

    def write(
        self,
        *,
        method: str,
        route: str,
        status: int,
        seconds: float,
        headers: list[tuple[bytes, bytes]],
        key: str | None,
    ) -> None:
        """Writes a line; `route` is a template, `headers` are the answer's, `key` names the key.

        A status of 0 says that no answer was begun: the client left, or it took too long.
        """
        release = next((value for name, value in headers if name.lower() in SOURCES), None)
        line = {
            "time": datetime.now(UTC),
            "service": self._service,
            "method": method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 3),
            "release": None if release is None else release.decode("latin-1"),
            "key": key,
        }
        # A reader of the log that has gone must not end requests.
        with suppress(OSError):
            sys.stdout.buffer.write(orjson.dumps(line, option=FORMAT))
            sys.stdout.buffer.flush()
