"""The route that takes purchases over HTTP, beside the topic `pollux/purchase`."""

import asyncio
from http import HTTPStatus

import orjson
from fastapi import Request
from starlette.responses import Response

from pollux.runtime.keys import KeyScope
from services.common.bodies import body_problems, read_body, read_here
from services.common.database import DatabaseUnavailableError, database_refuses
from services.common.health import NOT_KEPT
from services.common.openapi import problem_responses
from services.common.problems import ProblemError, internal_error, invalid_input
from services.common.scopes import ScopedRouter
from services.events.health import worker_of
from services.events.payloads import MAX_BYTES, UnreadableError
from services.events.purchases.handler import purchase_id_used
from services.events.purchases.rows import IMPLAUSIBLE
from services.events.purchases.schemas import Purchase, TakenPurchase

SECONDS = 3.0

TAG = {"name": "purchases", "description": "Baskets and orders as they happen."}

router = ScopedRouter(KeyScope.PURCHASES_WRITE, prefix="/v1/purchases", tags=[TAG["name"]])


def implausible_day(field: str = "at") -> ProblemError:
    """The purchase is of a day that is not taken."""
    return invalid_input("body", field, IMPLAUSIBLE)


@router.post(
    "",
    response_model=TakenPurchase,
    responses=problem_responses(
        *body_problems(MAX_BYTES),
        implausible_day(),
        purchase_id_used(),
        internal_error(),
        DatabaseUnavailableError(),
        database_refuses(),
    ),
    openapi_extra=read_here(Purchase),
    summary="Take a household's basket, or a shop's order",
)
async def take_purchase(request: Request) -> Response:
    """It is on disk when the answer comes, and in the marts with the next build.

    With an event_id it can be sent again, and counts once.
    """
    purchase = (await read_body(request, Purchase, {}, limit=MAX_BYTES)).root
    worker = worker_of(request)
    try:
        async with asyncio.timeout(SECONDS):
            taken = await (await worker.purchases_at_once()).take(purchase)
    except UnreadableError:
        raise implausible_day("at" if purchase.at is not None else "day") from None
    except TimeoutError:
        raise DatabaseUnavailableError(worker.database_refusal) from None
    document = {"event_key": str(taken.event_key), "is_repeated": taken.is_repeated}
    return Response(orjson.dumps(document), HTTPStatus.OK, NOT_KEPT, media_type="application/json")
