"""What a service does besides answering requests."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI


@asynccontextmanager
async def running_beside(app: FastAPI, work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Runs work while an app serves.

    An error that ends it ends the server (`app.state.server`) and is added to `app.state.failures`.
    """

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            app.state.failures.append(error)
            app.state.server.should_exit = True

    working = asyncio.create_task(work)
    working.add_done_callback(ended)
    yield
    working.cancel()
    with suppress(asyncio.CancelledError, Exception):
        await working
