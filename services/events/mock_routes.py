"""Events over HTTP, for trying the service without a broker.

Belongs here: what `/mock_entry` and `/mock_focus` take and answer. Does not belong here: how an
event is decided, which is the same as over MQTT.
"""

import asyncio
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from pollux.runtime.keys import KeyScope
from services.common.bodies import body_problems, read_here, read_json_bytes
from services.common.database import DatabaseUnavailableError
from services.common.health import NOT_KEPT
from services.common.openapi import problem_responses
from services.common.problems import internal_error, invalid_input
from services.common.scopes import ScopedRouter
from services.common.values import NUMBER_MAX, Id, Number, Text
from services.events.coupons.handler import PendingEvent
from services.events.coupons.messages import StoreEvent
from services.events.coupons.repository import Decision, Outcome, read_decision
from services.events.health import worker_of
from services.events.settings import CouponKind
from services.events.worker import Worker

# Longer than the scorer may be silent.
SECONDS = 20.0
TOPIC = "mock"

router = ScopedRouter(KeyScope.OFFERS_DECIDE, tags=["mock events"])


# What follows describes bodies; they are read as messages are.
CustomerId = Annotated[str, Field(pattern="^-?[0-9]{1,19}$")] | Id
Seconds = Annotated[float, Field(ge=0, le=NUMBER_MAX)]


class EntryEvent(BaseModel):
    """A customer enters the shop."""

    # With a payload it is the other shape.
    model_config = ConfigDict(json_schema_extra={"not": {"required": ["payload"]}})

    id: CustomerId = Field(description="Customer.", examples=["127"])
    ts: Seconds = Field(
        description="Time, seconds since 1970, at most a year ahead.", examples=[192322800]
    )


class FocusEvent(EntryEvent):
    """A customer stops in a department."""

    dep: Text = Field(description="Department.", examples=["Boys"])
    x: Number | None = Field(default=None, description="X coordinate; not used.")
    y: Number | None = Field(default=None, description="Y coordinate; not used.")


class EntryPayload(BaseModel):
    """Who enters."""

    customer_id: CustomerId = Field(description="Customer.", examples=[3])


class FocusPayload(EntryPayload):
    """Who stops where."""

    category: Text = Field(description="Department.", examples=["Women"])


class WrappedEntryEvent(BaseModel):
    """The same in an envelope."""

    event_type: Any = Field(
        default=None, description="Not read: the path says it.", examples=["entry event"]
    )
    event_timestamp: datetime = Field(
        description="Time, from 1970 to a year ahead.", examples=["2021-03-18T08:29:02.160Z"]
    )
    payload: EntryPayload


class WrappedFocusEvent(WrappedEntryEvent):
    """The same in an envelope."""

    event_type: Any = Field(
        default=None, description="Not read: the path says it.", examples=["focus event"]
    )
    payload: FocusPayload


class MockDecision(BaseModel):
    """The decision; a repeated event gets the same one again."""

    event_key: UUID = Field(description="Key of the event.")
    outcome: Outcome
    reason: str | None = Field(
        description="Why there is no offer.", examples=["no coupon valid on 1976-02-05"]
    )
    prediction: dict[str, Any] | None = Field(
        description="The message that the broker would have got; null if none."
    )


PROBLEMS = problem_responses(
    *body_problems(),
    invalid_input("body", "", "ts is missing or not a number of seconds"),
    internal_error(),
    DatabaseUnavailableError(),
)


@router.post(
    "/mock_entry",
    response_model=MockDecision,
    responses=PROBLEMS,
    openapi_extra=read_here(EntryEvent | WrappedEntryEvent),
    summary="A customer enters the shop",
)
async def mock_entry(request: Request) -> Response:
    """Takes an entry event as if it had come over MQTT."""
    return await _take(request, "entry")


@router.post(
    "/mock_focus",
    response_model=MockDecision,
    responses=PROBLEMS,
    openapi_extra=read_here(FocusEvent | WrappedFocusEvent),
    summary="A customer stops in a department",
)
async def mock_focus(request: Request) -> Response:
    """Takes a focus event as if it had come over MQTT; answers what would be sent."""
    return await _take(request, "focus")


async def _take(request: Request, kind: CouponKind) -> Response:
    worker = worker_of(request)
    payload = await read_json_bytes(request)
    try:
        async with asyncio.timeout(SECONDS):
            if worker.coupons is None:
                raise DatabaseUnavailableError
            pending, is_new = await worker.coupons.handle_and_wait(kind, f"{TOPIC}/{kind}", payload)
            decision = await _decision(worker, pending, is_new=is_new)
    except TimeoutError:
        # It stays in hand, and is decided when the database is back.
        raise DatabaseUnavailableError from None
    return Response(orjson.dumps(decision), HTTPStatus.OK, NOT_KEPT, media_type="application/json")


async def _decision(worker: Worker, pending: PendingEvent, *, is_new: bool) -> dict[str, Any]:
    if pending.unreadable is not None or pending.event is None or pending.decision is None:
        raise invalid_input("body", "", pending.unreadable or "")
    decision = pending.decision
    if not is_new:
        recorded = await worker.writer.retry(
            lambda connection: read_decision(connection, pending.key)
        )
        decision = recorded or decision
    return {
        "event_key": str(pending.key),
        "outcome": decision.outcome,
        "reason": decision.reason,
        "prediction": await _message(worker, pending.event, decision),
    }


async def _message(worker: Worker, event: StoreEvent, decision: Decision) -> orjson.Fragment | None:
    """What would be sent; None if nothing, or if the coupon is of an earlier release."""
    if worker.coupons is None or decision.answer_id is None:
        return None
    coupon = None
    if decision.coupon_id is not None:
        coupon = await worker.offers.read_document(decision.coupon_id)
        if coupon is None:
            return None
    opening, document, closing = worker.coupons.answers.message(event, decision, coupon)
    body = b"" if document is None else document.body
    return orjson.Fragment(opening + body + closing)
