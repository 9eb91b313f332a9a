"""What the event service's routes share: the database in time, and documents that nobody keeps."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import orjson
from starlette.responses import Response

from services.common.database import DatabaseUnavailableError
from services.common.health import NOT_KEPT
from services.events.worker import Worker

# Whoever waits is in front of a customer; what MQTT brings waits longer.
SECONDS = 3.0


@asynccontextmanager
async def database_in_time(worker: Worker) -> AsyncIterator[None]:
    """Raises `DatabaseUnavailableError` where what is done within takes more than `SECONDS`."""
    try:
        async with asyncio.timeout(SECONDS):
            yield
    except TimeoutError:
        raise DatabaseUnavailableError(worker.database_refusal) from None


def answer_now(document: object) -> Response:
    """A document as JSON, true at this moment only; times are in UTC."""
    body = orjson.dumps(document, option=orjson.OPT_UTC_Z)
    return Response(body, HTTPStatus.OK, NOT_KEPT, media_type="application/json")
