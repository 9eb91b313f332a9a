"""Serving an app on a socket with uvicorn."""

import asyncio
import gc
import socket
from functools import partial
from types import FrameType
from typing import cast

import uvicorn
from fastapi import FastAPI

from services.common.limits import Connections, LimitedProtocol

BACKLOG = 1024
KEEP_ALIVE_SECONDS = 30
SHUTDOWN_SECONDS = 10
TICK_SECONDS = 0.1
CLOSE = (b"connection", b"close")


class Server(uvicorn.Server):
    """uvicorn's, which goes on answering for `drain_seconds` once a signal tells it to end.

    Meanwhile `/readyz` says so, and every answer closes its connection: a proxy learns to ask
    elsewhere before nobody listens here. A second signal ends the wait.
    """

    def __init__(self, app: FastAPI) -> None:
        super().__init__(configure(app))
        self._state = app.state
        self._signals = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Counts the signals that tell it to end."""
        self._signals += 1
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drains, then ends as uvicorn does."""
        self._state.is_ending = True
        self.config.encoded_headers.append(CLOSE)
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + self._state.drain_seconds
        # An app that ended it has failed: it has nothing to drain.
        while self._signals == 1 and loop.time() < ends_at:
            # What it does once a second: it makes the headers of all answers.
            await self.on_tick(0)
            await asyncio.sleep(TICK_SECONDS)
        await super().shutdown(sockets)


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Serves an app on a bound socket; the app may end it (`app.state.server.should_exit`)."""
    # Imported objects live as long as the process: a collection that walks them pauses every
    # request for milliseconds.
    gc.collect()
    gc.freeze()
    app.state.server = Server(app)
    app.state.server.run(sockets=[listening])


def configure(app: FastAPI) -> uvicorn.Config:
    """The settings with which uvicorn serves an app that `make_app` made."""
    connections = Connections(app.state.limits, app.state.metrics.refuse)
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=cast("type[LimitedProtocol]", partial(LimitedProtocol, connections=connections)),
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        # uvicorn's hook for what is due while it serves: 0 is every second.
        callback_notify=connections.end_overdue,
        timeout_notify=0,
    )
