"""Routes of the scorer: paths and their documentation."""

import asyncio
from typing import TYPE_CHECKING, Any, Literal, cast

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from pollux.runtime.keys import KeyScope
from services.common import health
from services.common.bodies import (
    body_problems,
    parse_body,
    read_here,
    read_json_bytes,
    read_query,
)
from services.common.health import NOT_KEPT, Index, check_stays, ending, index_of
from services.common.openapi import problem_responses
from services.common.problems import ProblemError, internal_error, invalid_input
from services.common.scopes import ScopedRouter
from services.scoring import scores
from services.scoring.problems import no_model
from services.scoring.quick import quick_reader
from services.scoring.schemas import (
    MAX_PAIRS,
    MAX_REQUESTS,
    BatchRequest,
    Prediction,
    ScoreQuery,
    ScoreRequest,
)

if TYPE_CHECKING:
    from services.scoring.models import CurrentModel

SCORE_BYTES = 512 * 1024
BATCH_BYTES = 4 * 2**20
# More than this are scored in a thread, so that other requests need not wait.
PAIRS_AT_ONCE = 100

scoring = ScopedRouter(KeyScope.SCORE, tags=["scoring"])
service = APIRouter(tags=["service"])
ROUTERS = (scoring, service, *health.ROUTERS)

_read = quick_reader(ScoreRequest)
_read_batch = quick_reader(list[ScoreRequest], longest=MAX_REQUESTS)

MISSING = invalid_input("body", "customer.age", "Field required")


class Readiness(BaseModel):
    """A model is there."""

    status: Literal["ready"] = "ready"
    model: str = Field(description="Model that scores.", examples=["20261031-0af0f104418e"])


def _responses(*problems: ProblemError) -> dict[int | str, dict[str, Any]]:
    responses = problem_responses(*problems, internal_error(), no_model())
    header = {
        "description": "Model that the answer was made with.",
        "schema": {"type": "string", "examples": ["20261031-0af0f104418e"]},
    }
    responses[200] = {"headers": {"X-Pollux-Model": header}}
    return responses


def parse(body: bytes) -> ScoreRequest:
    """The request in a body; raises a problem if it is none."""
    quick = _read(body)
    return parse_body(body, ScoreRequest, {}) if quick is None else cast("ScoreRequest", quick)


def parse_batch(body: bytes) -> list[ScoreRequest]:
    """The requests in a body; raises a problem if it is another or they are too many."""
    quick = cast("list[ScoreRequest] | None", _read_batch(body))
    if quick is None or _pairs(quick) > MAX_PAIRS:
        return parse_body(body, BatchRequest, {}).root
    return quick


@scoring.post(
    "/score",
    response_model=list[Prediction],
    responses=_responses(*body_problems(SCORE_BYTES), MISSING),
    openapi_extra=read_here(ScoreRequest, ScoreQuery),
    summary="How likely a customer is to use each of some coupons",
)
async def score(request: Request) -> Response:
    """Predictions, the best first; an empty list for no coupons."""
    query = read_query(request, ScoreQuery)
    asked = parse(await read_json_bytes(request, SCORE_BYTES))
    current: CurrentModel = request.app.state.model
    model = current.get()
    # Explaining a pair takes many times as long as scoring it.
    if query.explain or len(asked.coupons) > PAIRS_AT_ONCE:
        found = await asyncio.to_thread(scores.answer, model, asked, explains=query.explain)
    else:
        found = scores.answer(model, asked)
    current.pairs.inc(len(asked.coupons))
    return _json(found, model.id)


@scoring.post(
    "/score/batch",
    response_model=list[list[Prediction]],
    responses=_responses(*body_problems(BATCH_BYTES), MISSING),
    openapi_extra=read_here(BatchRequest),
    summary="The same for many customers",
    description=f"A list of requests as for /score, with at most {MAX_PAIRS:,} coupons in all; "
    "their answers come in the same order, from one model.",
)
async def score_batch(request: Request) -> Response:
    """Answers requests together."""
    asked = parse_batch(await read_json_bytes(request, BATCH_BYTES))
    current: CurrentModel = request.app.state.model
    model = current.get()
    found = await asyncio.to_thread(scores.answer_batch, model, asked)
    current.pairs.inc(_pairs(asked))
    return _json(found, model.id)


@scoring.get(
    "/model",
    response_model=dict[str, Any],
    responses=_responses(),
    summary="The card of the model that scores",
)
async def read_model(request: Request) -> Response:
    """What it was trained on, and how good it is compared with two baselines."""
    model = request.app.state.model.get()
    return _json(model.card, model.id)


@service.get("/", response_model=Index, summary="Where things are")
async def read_index(request: Request) -> Response:
    """Links to what the service offers."""
    return index_of(request, {"model": "/model"})


@service.get(
    "/readyz",
    response_model=Readiness,
    responses=problem_responses(no_model(), ending()),
    summary="Whether the service can answer",
)
async def read_readiness(request: Request) -> Response:
    """Ready when there is a model."""
    check_stays(request)
    ready = Readiness(model=request.app.state.model.get().id)
    return JSONResponse(ready.model_dump(), headers=NOT_KEPT)


def _pairs(asked: list[ScoreRequest]) -> int:
    return sum(len(one.coupons) for one in asked)


def _json(body: bytes, model_id: str) -> Response:
    headers = {"X-Pollux-Model": model_id, "Cache-Control": "no-store"}
    return Response(body, media_type="application/json", headers=headers)
