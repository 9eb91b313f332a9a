"""Routes of purchases: taking one, as the topic `pollux/purchase` does, and counting the latest."""

from fastapi import Request
from starlette.responses import Response

from pollux.runtime.keys import KeyScope
from services.common.bodies import body_problems, read_body, read_here
from services.common.database import DatabaseUnavailableError, database_refuses
from services.common.openapi import problem_responses
from services.common.parameters import parameter_errors
from services.common.problems import (
    ProblemError,
    internal_error,
    invalid_input,
    invalid_parts,
)
from services.common.scopes import ScopedRouter
from services.events.answering import answer_now, database_in_time
from services.events.health import worker_of
from services.events.payloads import MAX_BYTES, UnreadableError
from services.events.purchases.handler import purchase_id_used
from services.events.purchases.rows import IMPLAUSIBLE
from services.events.purchases.schemas import LatestPurchases, Purchase, TakenPurchase

TAG = {"name": "purchases", "description": "Baskets and orders as they happen."}

taken = ScopedRouter(KeyScope.PURCHASES_WRITE, prefix="/v1/purchases", tags=[TAG["name"]])
latest = ScopedRouter(KeyScope.HOUSEHOLDS_READ, prefix="/v1/purchases", tags=[TAG["name"]])
ROUTERS = (taken, latest)


def implausible_day(field: str = "at") -> ProblemError:
    """The purchase is of a day that is not taken."""
    return invalid_input("body", field, IMPLAUSIBLE)


@taken.post(
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
        async with database_in_time(worker):
            found = await (await worker.purchases_at_once()).take(purchase)
    except UnreadableError:
        raise implausible_day("at" if purchase.at is not None else "day") from None
    return answer_now({"event_key": str(found.event_key), "is_repeated": found.is_repeated})


@latest.get(
    "",
    response_model=LatestPurchases,
    responses=problem_responses(
        invalid_parts(parameter_errors(["colour"], [])),
        internal_error(),
        DatabaseUnavailableError(),
        database_refuses(),
    ),
    summary="What was taken in during the last hour",
)
async def count_latest_purchases(request: Request) -> Response:
    """How many purchases by the minute, for how much, and which live rows do not have yet."""
    worker = worker_of(request)
    async with database_in_time(worker):
        found = await worker.purchases_lately.look()
    document = {
        "at": found.at,
        "is_computed": found.is_computed,
        "data": [
            one._asdict()
            | {"minutes": [{**m._asdict(), "value": float(m.value)} for m in one.minutes]}
            for one in found.domains
        ],
    }
    return answer_now(document)
