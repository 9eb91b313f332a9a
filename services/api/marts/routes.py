"""Routes of any released mart: paths, parameters and their documentation."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from services.api.documents import PageQuery
from services.api.marts.repository import Marts, unknown_domain, unknown_mart
from services.api.marts.schemas import MartList, MartPage, MartSchema
from services.common.answers import Answers, answer_of_several, answers_of
from services.common.bodies import query_parameters
from services.common.openapi import release_responses
from services.common.paging import foreign_next, page
from services.common.prefix import prefix_of
from services.common.problems import invalid_input

EXAMPLE = "store"
NO_PARAMETERS = "This answer takes no parameters"
UNKNOWN_DOMAIN = unknown_domain("shop", ["customer", "household", "loyalty", "store"])
UNKNOWN_MART = unknown_mart(EXAMPLE, "coupons", ["coupon_info", "product_info"])
NO_FILTER = invalid_input(
    "query", "colour", "Not a filter of store.coupon_info, which takes coupon_id, limit and next"
)
NO_PARAMETER = invalid_input("query", "colour", NO_PARAMETERS)

Domain = Annotated[str, Path(description="Domain.", examples=[EXAMPLE])]
MartName = Annotated[str, Path(description="Mart.", examples=["coupon_info"])]
PAGE_PARAMETERS: dict[str, Any] = {
    "parameters": [
        *query_parameters(PageQuery),
        {
            "name": "filters",
            "in": "query",
            "style": "form",
            "explode": True,
            "description": "Only rows whose column equals a value, such as `department=Boys`; the "
            "columns are those that `/schema` names in `filters`.",
            "schema": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    ]
}

router = APIRouter(prefix="/v1/marts", tags=["marts"])
ROUTERS = (router,)


@router.get(
    "",
    response_model=MartList,
    responses=release_responses(EXAMPLE, NO_PARAMETER),
    summary="List all marts",
)
async def list_marts(request: Request) -> Response:
    """Every mart that is served, of all domains, with the release that holds it."""
    _refuse_parameters(request)
    answers = answers_of(request)
    marts: Marts = request.app.state.marts
    domains = sorted(await answers.releases())
    prefix = prefix_of(request.scope)
    found = [await answers.read(domain, marts.read_summaries, prefix) for domain in domains]
    texts = [orjson.dumps(one.model_dump()).decode() for _, listed in found for one in listed]
    return answer_of_several(request, [release for release, _ in found], page(texts))


@router.get(
    "/{domain}",
    response_model=MartList,
    responses=release_responses(EXAMPLE, UNKNOWN_DOMAIN, NO_PARAMETER),
    summary="List marts of a domain",
)
async def list_marts_of_domain(request: Request, domain: Domain) -> Response:
    """The marts of a domain's release."""
    _refuse_parameters(request)
    answers = await _answers(request, domain)
    marts: Marts = request.app.state.marts
    return await answers.make(request, domain, marts.read_list, prefix_of(request.scope))


@router.get(
    "/{domain}/{mart}",
    response_model=MartPage,
    responses=release_responses(EXAMPLE, UNKNOWN_DOMAIN, UNKNOWN_MART, NO_FILTER, foreign_next()),
    summary="Rows of a mart",
    openapi_extra=PAGE_PARAMETERS,
)
async def read_mart(request: Request, domain: Domain, mart: MartName) -> Response:
    """Rows in the order of the mart's key, a page at a time, filtered by its indexed columns."""
    answers = await _answers(request, domain)
    marts: Marts = request.app.state.marts
    asked = request.query_params.multi_items()
    return await answers.make(request, domain, marts.read_page, mart, asked)


@router.get(
    "/{domain}/{mart}/schema",
    response_model=MartSchema,
    responses=release_responses(EXAMPLE, UNKNOWN_DOMAIN, UNKNOWN_MART, NO_PARAMETER),
    summary="Columns of a mart",
)
async def read_mart_schema(request: Request, domain: Domain, mart: MartName) -> Response:
    """Its columns, its key, and the columns that it can be filtered by."""
    _refuse_parameters(request)
    answers = await _answers(request, domain)
    marts: Marts = request.app.state.marts
    return await answers.make(request, domain, marts.read_schema, mart)


async def _answers(request: Request, domain: str) -> Answers:
    """The app's answers; raises a problem if the domain has no release."""
    answers = answers_of(request)
    releases = await answers.releases()
    if domain not in releases:
        raise unknown_domain(domain, tuple(releases))
    return answers


def _refuse_parameters(request: Request) -> None:
    """A misspelt filter must not return the whole list."""
    for name in request.query_params:
        raise invalid_input("query", name, NO_PARAMETERS)
