"""A service of a few routes with small limits, run as a process: `python -m … PORT`."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from pollux.runtime.keys import KeyScope
from pollux.runtime.settings import Settings
from services.common import health, server
from services.common.api_keys import ApiKeys
from services.common.app import make_app
from services.common.bodies import read_json_bytes
from services.common.metrics import Metrics
from services.common.port import bind
from services.common.scopes import ScopedRouter

# Shorter than users have them, so that tests do not wait.
RECEIVE_SECONDS = 1.0
ANSWER_SECONDS = 2.5
KEEP_ALIVE_SECONDS = 2
LONGER_THAN_ALL = 1.2 * ANSWER_SECONDS
PART = b"x" * 2**16

router = ScopedRouter(KeyScope.SCORE)


@router.post("/length")
async def length(request: Request) -> Response:
    return JSONResponse(len(await read_json_bytes(request)))


@router.get("/late")
async def late() -> Response:
    await asyncio.sleep(60)
    return Response()


@router.get("/long")
async def long() -> Response:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(10):
            await asyncio.sleep(LONGER_THAN_ALL / 10)
            yield b"part\n"

    return StreamingResponse(parts())


@router.get("/endless")
async def endless() -> Response:
    async def parts() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0)
            yield PART

    return StreamingResponse(parts())


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    yield


def main(port: int) -> None:
    settings = Settings(receive_seconds=RECEIVE_SECONDS, answer_seconds=ANSWER_SECONDS, api_keys="")
    metrics = Metrics()
    app = make_app(
        settings,
        name="limited",
        title="Limited",
        description="",
        tags=[],
        lifespan=lifespan,
        metrics=metrics,
        keys=ApiKeys(settings, metrics.refuse_key),
        routers=[router, *health.ROUTERS],
    )
    app.state.limits = replace(app.state.limits, stall_seconds=RECEIVE_SECONDS)
    server.KEEP_ALIVE_SECONDS = KEEP_ALIVE_SECONDS
    server.serve(app, bind("127.0.0.1", port))


if __name__ == "__main__":
    main(int(sys.argv[1]))
