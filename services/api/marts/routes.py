"""Routes of any released mart: paths, parameters and their documentation."""

from http import HTTPStatus
from typing import Annotated, Any

import orjson
from fastapi import Path, Request
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from pollux.runtime.keys import KeyScope
from services.api.lists import answer
from services.api.marts.repository import Marts, no_parquet, unknown_domain, unknown_mart
from services.api.marts.schemas import MartList, MartPage, MartQuery, MartSchema
from services.common.answers import Answers, answer_of_several, answers_of, matches
from services.common.bodies import query_parameters
from services.common.openapi import release_responses
from services.common.paging import foreign_next, page
from services.common.parameters import parameter_errors
from services.common.prefix import prefix_of
from services.common.problems import invalid_parts
from services.common.scopes import ScopedRouter

EXAMPLE = "store"
FILE = {"schema": {"type": "string", "format": "binary"}}
PARQUET = "application/vnd.apache.parquet"
UNKNOWN_DOMAIN = unknown_domain("shop", ["customer", "household", "loyalty", "store"])
UNKNOWN_MART = unknown_mart(EXAMPLE, "coupons", ["coupon_info", "product_info"])
NO_FILTER = invalid_parts(parameter_errors(["colour"], ["coupon_id", "department", "limit"]))
NO_PARAMETER = invalid_parts(parameter_errors(["colour"], []))

Domain = Annotated[str, Path(description="Domain.", examples=[EXAMPLE])]
MartName = Annotated[str, Path(description="Mart.", examples=["coupon_info"])]
PARQUET_RESPONSES = release_responses(
    EXAMPLE,
    UNKNOWN_DOMAIN,
    UNKNOWN_MART,
    no_parquet(f"{EXAMPLE}-3", "coupon_info"),
    NO_PARAMETER,
)
PARQUET_RESPONSES[200] |= {"description": "The file.", "content": {PARQUET: FILE}}
PARQUET_RESPONSES[206] = {
    "description": "The part of the file that `Range` asks for.",
    "content": {PARQUET: FILE},
    "headers": PARQUET_RESPONSES[200]["headers"],
}
PAGE_PARAMETERS: dict[str, Any] = {
    "parameters": [
        *query_parameters(MartQuery),
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

router = ScopedRouter(KeyScope.MARTS_READ, prefix="/v1/marts", tags=["marts"])
ROUTERS = (router,)


@router.get(
    "",
    response_model=MartList,
    responses=release_responses(EXAMPLE, NO_PARAMETER),
    summary="List all marts",
)
async def list_marts(request: Request) -> Response:
    """Every mart that is served, of all domains, with the release that holds it."""
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
    await _answers(request, domain)
    marts: Marts = request.app.state.marts
    asked = request.query_params.multi_items()
    return await answer(request, domain, marts.read_page, marts.copy, mart, asked)


@router.get(
    "/{domain}/{mart}/parquet",
    response_class=FileResponse,
    responses=PARQUET_RESPONSES,
    summary="A mart as Parquet",
)
async def read_mart_parquet(request: Request, domain: Domain, mart: MartName) -> Response:
    """All rows of a mart as one file, as the release left it; takes `Range`."""
    answers = await _answers(request, domain)
    marts: Marts = request.app.state.marts
    folder = request.app.state.releases_dir
    release, file = await answers.read(domain, marts.find_parquet, folder, mart)
    headers = {name.decode(): value.decode() for name, value in release.headers}
    if matches(request.scope, release):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    name = f"{mart}-{release.name}.parquet"
    return ParquetFile(file, headers=headers, media_type=PARQUET, filename=name)


@router.get(
    "/{domain}/{mart}/schema",
    response_model=MartSchema,
    responses=release_responses(EXAMPLE, UNKNOWN_DOMAIN, UNKNOWN_MART, NO_PARAMETER),
    summary="Columns of a mart",
)
async def read_mart_schema(request: Request, domain: Domain, mart: MartName) -> Response:
    """Its columns, its key, and the columns that it can be filtered by."""
    answers = await _answers(request, domain)
    marts: Marts = request.app.state.marts
    return await answers.make(request, domain, marts.read_schema, mart)


class ParquetFile(FileResponse):
    """A file that is not read for a HEAD."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the file, a part of it, or only what is said of it."""
        method = "HEAD" if scope.get("pollux.is_head") else scope["method"]
        await super().__call__({**scope, "method": method}, receive, send)


async def _answers(request: Request, domain: str) -> Answers:
    """The app's answers; raises a problem if the domain has no release."""
    answers = answers_of(request)
    releases = await answers.releases()
    if domain not in releases:
        raise unknown_domain(domain, tuple(releases))
    return answers
