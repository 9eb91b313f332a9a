"""The API as a server: its address and its process.

Belongs here: what must be right before the first request. Does not belong here: what is answered.
"""

import gc
import socket

import uvicorn
from fastapi import FastAPI

from pollux.runtime.serving import find_serving_store, open_serving_store
from pollux.runtime.settings import Settings
from services.api.app import create_app
from services.common.port import bind

BACKLOG = 1024
KEEP_ALIVE_SECONDS = 30
SHUTDOWN_SECONDS = 10


def run(settings: Settings) -> None:
    """Serves the API until the process is told to stop.

    Starts the embedded database where there is no other. Raises `PolluxError` for a port in use,
    keys that cannot be read, or an open address without keys.
    """
    app = create_app(settings)
    with bind(settings.api_host, settings.api_port) as listening:
        # A database of yours may come later: the app waits for it.
        if find_serving_store(settings).embedded is not None:
            open_serving_store(settings)
        serve(app, listening)


def serve(app: FastAPI, listening: socket.socket) -> None:
    """Serves an app on a bound socket."""
    # What was imported lives as long as the process: a collection that walks it stops every
    # request for milliseconds.
    gc.collect()
    gc.freeze()
    uvicorn.Server(configure(app)).run(sockets=[listening])


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
