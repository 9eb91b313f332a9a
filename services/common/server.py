"""A service as a process: how its app is served on a socket.

Belongs here: uvicorn and its settings. Does not belong here: what is served, and where.
"""

import gc
import socket

import uvicorn
from fastapi import FastAPI

BACKLOG = 1024
KEEP_ALIVE_SECONDS = 30
SHUTDOWN_SECONDS = 10


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Serves an app on a bound socket; the app may end it (`app.state.server.should_exit`)."""
    # What was imported lives as long as the process: a collection that walks it stops every
    # request for milliseconds.
    gc.collect()
    gc.freeze()
    app.state.server = uvicorn.Server(configure(app))
    app.state.server.run(sockets=[listening])


def configure(app: FastAPI) -> uvicorn.Config:
    """How uvicorn serves an app of ours."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
