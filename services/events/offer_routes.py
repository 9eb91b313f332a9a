"""Routes that decide offers at once: paths and their documentation.

They are here because the decision is: whoever asks over HTTP gets what a focus event would get.
"""

import asyncio
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import Request
from starlette.responses import Response

from pollux.runtime.keys import KeyScope
from services.common.bodies import (
    body_problems,
    query_parameters,
    read_body,
    read_here,
    read_query,
)
from services.common.database import DatabaseUnavailableError, database_refuses
from services.common.openapi import problem_responses
from services.common.problems import ProblemError, internal_error, invalid_input
from services.common.releases import NothingReleasedError
from services.common.scopes import ScopedRouter
from services.common.shop import unknown_store_customer
from services.events import answering
from services.events.answering import answer_now, database_in_time
from services.events.coupons.instant import (
    STORE,
    Instant,
    InstantOffers,
    event_id_used,
    scorer_unavailable,
    unknown_department,
)
from services.events.coupons.repository import read_latest_offers
from services.events.health import worker_of
from services.events.offer_schemas import (
    MAX_OFFERS,
    BatchOfferQuery,
    LatestOffers,
    LatestOffersQuery,
    Offer,
    OfferBatchRequest,
    OfferQuery,
    OfferRequest,
    OfferResult,
)
from services.events.worker import Worker
from services.scoring.problems import no_model

BATCH_SECONDS = 20.0
BATCH_BYTES = 512 * 1024

TAG = {"name": "offers", "description": "The offer for a customer, decided at once."}

latest = ScopedRouter(KeyScope.STORE_READ, prefix="/v1/offers", tags=[TAG["name"]])
decided = ScopedRouter(KeyScope.OFFERS_DECIDE, prefix="/v1/offers", tags=[TAG["name"]])
ROUTERS = (latest, decided)


def not_in_time(seconds: float = answering.SECONDS) -> ProblemError:
    """Database and scorer answer, but it took too long."""
    return ProblemError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "not-in-time",
        "Not in time",
        f"The offer was not decided within {seconds:g} s. Ask again, with the same event_id.",
        headers={"Retry-After": "1"},
    )


SHARED = (
    internal_error(),
    DatabaseUnavailableError(),
    database_refuses(),
    NothingReleasedError(STORE),
    no_model(),
    scorer_unavailable(),
    not_in_time(),
)


@latest.get(
    "",
    response_model=LatestOffers,
    responses=problem_responses(
        invalid_input("query", "limit", "Input should be greater than or equal to 1"),
        internal_error(),
        DatabaseUnavailableError(),
        database_refuses(),
    ),
    openapi_extra={"parameters": query_parameters(LatestOffersQuery)},
    summary="What was decided lately, the newest first",
)
async def list_latest_offers(request: Request) -> Response:
    """Decisions on focus events and on requests for offers, among the last 10,000 of all."""
    query = read_query(request, LatestOffersQuery)
    worker = worker_of(request)
    async with database_in_time(worker):
        rows = await worker.writer.retry(
            lambda connection: read_latest_offers(connection, query.limit)
        )
    # asyncpg's own kind of UUID is none for orjson.
    return answer_now({"data": [dict(row) | {"event_key": str(row["event_key"])} for row in rows]})


@decided.post(
    "",
    response_model=Offer,
    responses=problem_responses(
        *body_problems(),
        invalid_input("body", "customer_id", "Field required"),
        unknown_department("Toys", ["Boys", "Girls", "Men", "Sport", "Women"]),
        unknown_store_customer(7),
        event_id_used(),
        *SHARED,
    ),
    openapi_extra=read_here(OfferRequest, OfferQuery),
    summary="The offer for a customer, now",
)
async def decide_offer(request: Request) -> Response:
    """The coupon to offer, or the reason why there is none.

    It is decided and recorded as a focus event's, but not sent over MQTT.
    """
    query = read_query(request, OfferQuery)
    asked = await read_body(request, OfferRequest, {})
    worker = worker_of(request)
    instant = await _instant(worker)
    try:
        async with asyncio.timeout(answering.SECONDS):
            found = await instant.decide(
                asked.question(), is_dry_run=query.dry_run, explains=query.explain
            )
    except TimeoutError:
        raise _late(worker, answering.SECONDS) from None
    return answer_now(_document(found, explains=query.explain))


@decided.post(
    "/batch",
    response_model=list[OfferResult],
    responses=problem_responses(
        *body_problems(BATCH_BYTES),
        invalid_input("body", "0.customer_id", "Field required"),
        *SHARED,
    ),
    openapi_extra=read_here(OfferBatchRequest, BatchOfferQuery),
    summary="The same for many customers",
    description=f"A list of at most {MAX_OFFERS:,} requests as for /v1/offers; their answers come "
    "in the same order. Each is decided by itself: one that cannot be has its problem instead of "
    "an offer.",
)
async def decide_offers(request: Request) -> Response:
    """Decides requests side by side."""
    query = read_query(request, BatchOfferQuery)
    asked = (await read_body(request, OfferBatchRequest, {}, limit=BATCH_BYTES)).root
    worker = worker_of(request)
    instant = await _instant(worker)
    path = request.scope["path"]

    async def decide(one: OfferRequest) -> dict[str, Any]:
        try:
            async with asyncio.timeout(BATCH_SECONDS):
                found = await instant.decide(one.question(), is_dry_run=query.dry_run)
        except ProblemError as problem:
            return {"offer": None, "problem": problem.document(path)}
        except TimeoutError:
            return {"offer": None, "problem": _late(worker, BATCH_SECONDS).document(path)}
        return {"offer": _document(found, explains=False), "problem": None}

    return answer_now(await asyncio.gather(*map(decide, asked)))


async def _instant(worker: Worker) -> InstantOffers:
    """What decides: a worker that has just started has it in a moment, if the database is there."""
    async with database_in_time(worker):
        return await worker.offers_at_once()


def _late(worker: Worker, seconds: float) -> ProblemError:
    """The problem of whatever was waited for."""
    if not worker.is_database_up:
        return DatabaseUnavailableError(worker.database_refusal)
    return not_in_time(seconds) if worker.is_scorer_up else scorer_unavailable()


def _document(found: Instant, *, explains: bool) -> dict[str, Any]:
    decision = found.decision
    document: dict[str, Any] = {
        "outcome": decision.outcome,
        "reason": decision.reason,
        "customer_id": decision.customer_id,
        "department": decision.department,
        "at": decision.event_at,
        "day": decision.event_date,
        "coupon": None if found.coupon is None else orjson.Fragment(found.coupon.body),
        "likelihood": decision.prediction,
        "threshold": decision.threshold,
        "release": decision.release,
        "model": decision.model,
        # asyncpg's own kind of UUID is none for orjson.
        "event_key": str(decision.event_key) if found.is_recorded else None,
        "is_repeated": found.is_repeated,
    }
    if explains:
        document["explanation"] = found.explained and {
            "coupon_id": found.explained.coupon_id,
            "likelihood": found.explained.prediction,
            **found.explained.explanation,
        }
    return document
