"""Spark Connect: a server to build with, whether it answers, and a session of it.

Does not belong here: whose server it is, and when it is started and ended (`pollux.runtime.spark`).
"""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from pollux.runtime.spark_processes import ANSWER_SECONDS, TOKEN_VARIABLE, SparkError

DEFAULT_PORT = 15002
# dbt-spark asks for Hive with each statement, which a client cannot set.
QUIET = "ignore:Failed to set spark.sql.catalogImplementation:UserWarning"

# As in profiles/profiles.yml.
SESSION = {
    "spark.sql.timestampType": "TIMESTAMP_NTZ",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
}

# Of HTTP/2, which gRPC speaks: what a client sends first, and the kind of frame that a server does.
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000 04 00 00000000")
HTTP2_HEAD_BYTES, HTTP2_SETTINGS = 9, 4


@dataclass(frozen=True)
class SparkServer:
    """A Connect server to build with: its address, and for an own one its page and logs."""

    remote: str
    token: str = ""
    page: str | None = None
    logs: Path | None = None
    workers: int = 0

    def environment(self) -> dict[str, str]:
        """The variables that a client of the server needs."""
        token = {TOKEN_VARIABLE: self.token} if self.token else {}
        return {"POLLUX_SPARK_REMOTE": self.remote, "PYTHONWARNINGS": QUIET, **token}

    def describe(self) -> str:
        """The server in a few words."""
        if self.page is None:
            return "your Spark server"
        kind = f"a cluster with {self.workers} workers" if self.workers else "a local server"
        return f"{kind}, its page on {self.page}"


def check_answers(remote: str) -> None:
    """Raises `SparkError` if no Spark Connect server answers at an address `sc://host:port/;…`."""
    parts = urlsplit(remote)
    host, port = parts.hostname or "", parts.port or DEFAULT_PORT
    hint = (
        "Start it, or take POLLUX_SPARK_REMOTE away: Pollux then starts a server on this machine."
    )
    try:
        with socket.create_connection((host, port), timeout=ANSWER_SECONDS) as connection:
            if "use_ssl=true" in parts.path.lower() or _speaks_http2(connection):
                return
    except OSError as error:
        raise SparkError(
            f"The Spark server {host}:{port} of POLLUX_SPARK_REMOTE cannot be reached "
            f"({error.strerror or error}). {hint}"
        ) from error
    raise SparkError(
        f"What answers at {host}:{port}, named in POLLUX_SPARK_REMOTE, is no Spark Connect server: "
        f"its port is {DEFAULT_PORT} as a rule. {hint}"
    )


@contextmanager
def spark_session(server: SparkServer) -> Iterator[Any]:
    """A session of a server: a `pyspark.sql.SparkSession`, with the settings of dbt's.

    Raises `SparkError` with the first line of what went wrong in it.
    """
    # They come with a dependency group.
    sql, errors = import_module("pyspark.sql"), import_module("pyspark.errors")
    separator = ";" if "/;" in server.remote else "/;"
    token = f"{separator}token={quote(server.token, safe='')}" if server.token else ""
    builder = sql.SparkSession.builder.remote(server.remote + token)
    for name, value in SESSION.items():
        builder = builder.config(name, value)
    try:
        session = builder.create()
        try:
            yield session
        finally:
            session.stop()
    except errors.PySparkException as error:
        raise SparkError(str(error).strip().partition("\n")[0]) from error


def _speaks_http2(connection: socket.socket) -> bool:
    connection.sendall(HTTP2_HELLO)
    head = b""
    while len(head) < HTTP2_HEAD_BYTES:
        try:
            more = connection.recv(HTTP2_HEAD_BYTES - len(head))
        except TimeoutError:
            return False
        if not more:
            return False
        head += more
    return head[3] == HTTP2_SETTINGS
