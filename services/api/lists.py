"""Answers of lists: a page as JSON, or the whole list as CSV or NDJSON.

Belongs here: which of the two a request gets. Does not belong here: what a list holds.
"""

from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec

from fastapi import Request
from starlette.responses import Response

from services.api.documents import PageQuery
from services.api.listing import K, Listing
from services.common.answers import Subject, answers_of
from services.common.copying import Copying
from services.common.database import Database
from services.common.formats import Format, format_of
from services.common.releases import Release

P = ParamSpec("P")


async def answer_list(
    request: Request,
    listing: Listing[K],
    query: PageQuery,
    within: K | None = None,
    subject: Subject | None = None,
) -> Response:
    """A list in the format that the request prefers, from the current release of its domain.

    What is kept of it in memory is kept until the subject has live rows.
    """
    domain = listing.mart.domain
    if format_of(request.scope) is Format.JSON:
        return await answers_of(request).make_of(
            request, subject, domain, listing.read, query, within
        )
    return await answer(request, domain, listing.read, listing.copy, query, within)


async def answer(
    request: Request,
    domain: str,
    read: Callable[Concatenate[Database, Release, P], Awaitable[bytes]],
    copy: Callable[Concatenate[Database, Release, Format, P], Awaitable[Copying]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> Response:
    """What `read` makes or `copy` begins, by the format that the request prefers."""
    as_ = format_of(request.scope)
    if as_ is Format.JSON:
        return await answers_of(request).make(request, domain, read, *args, **kwargs)
    return await answers_of(request).copy(request, domain, copy, as_, *args, **kwargs)
