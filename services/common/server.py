"""Serving an app on a socket with uvicorn."""

import gc
import socket
from functools import partial
from typing import cast

import uvicorn
from fastapi import FastAPI

from services.common.limits import Connections, LimitedProtocol

BACKLOG = 1024
KEEP_ALIVE_SECONDS = 30
SHUTDOWN_SECONDS = 10


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Serves an app on a bound socket; the app may end it (`app.state.server.should_exit`)."""
    # Imported objects live as long as the process: a collection that walks them pauses every
    # request for milliseconds.
    gc.collect()
    gc.freeze()
    app.state.server = uvicorn.Server(configure(app))
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
