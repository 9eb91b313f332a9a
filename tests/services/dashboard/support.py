"""A services' fake for pages: documents by path, and pages run without a browser."""

import re
from collections.abc import Iterator
from functools import cache
from http import HTTPStatus
from typing import Any

import httpx
from streamlit.testing.v1 import AppTest

from services.common.contracts import contract_of
from services.openapi.documents import documents

SCRIPT = """
from services.dashboard import states
from services.dashboard.pages import {page}

with states.problems_shown():
    {page}.show()
"""
SECONDS = 20
ETAGS = {"customer": '"customer-3-a"', "household": '"household-7-a"', "store": '"store-1-a"'}


class FakeServices:
    """Answers of the services by path; what was asked is kept."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {"/readyz": {"status": "ready", "etags": ETAGS}}
        self.asked: list[httpx.Request] = []
        # Where set, the only key that is let in.
        self.key: str | None = None
        # Scopes that the viewer's key has, by the OpenAPI documents; without, all.
        self.scopes: set[str] | None = None
        self.is_away = False

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.is_away:
            raise httpx.ConnectError("Connection refused")
        sent = request.headers.get("Authorization")
        if self.key is not None and request.url.path != "/readyz" and sent != f"Bearer {self.key}":
            return problem(HTTPStatus.UNAUTHORIZED, "key-required", "Send a key.")
        if self.scopes is not None and (needs := needed(request)) not in {*self.scopes, None}:
            return problem(HTTPStatus.FORBIDDEN, "scope-missing", f"This needs the scope {needs}.")
        found = self.documents.get(request.url.path)
        if found is None:
            return problem(HTTPStatus.NOT_FOUND, "unknown", f"No {request.url.path} here.")
        if isinstance(found, httpx.Response):
            return found
        return httpx.Response(200, json=found)

    def serve(self, path: str, document: Any) -> None:
        """A list is served as a page of it."""
        is_list = isinstance(document, list)
        self.documents[path] = {"data": document, "next": None} if is_list else document

    def paths(self) -> list[str]:
        return [request.url.path for request in self.asked]

    def queries(self, path: str) -> list[dict[str, str]]:
        return [dict(one.url.params) for one in self.asked if one.url.path == path]


def needed(request: httpx.Request) -> str | None:
    """The scope that a route needs, as the service's OpenAPI document says."""
    for path, method, needs in _scopes():
        if method == request.method and path.fullmatch(request.url.path):
            return needs
    raise AssertionError(f"no service has {request.method} {request.url.path}")


@cache
def _scopes() -> list[tuple[re.Pattern[str], str, str | None]]:
    return [
        (
            re.compile(re.sub(r"\{\w+\}", "[^/]+", path)),
            method.upper(),
            operation["security"][0]["key"][0] if "security" in operation else None,
        )
        for document in documents().values()
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def problem(status: HTTPStatus, kind: str, detail: str) -> httpx.Response:
    document = {"type": f"urn:pollux:problem:{kind}", "title": kind, "detail": detail}
    return httpx.Response(status, json=document | {"status": int(status)})


def row(domain: str, mart: str, **values: Any) -> dict[str, Any]:
    """A row of a mart: the examples of its contract, but for these values."""
    contract = contract_of(domain, mart)
    assert set(values) <= {column.name for column in contract.columns}
    return {column.name: column.example for column in contract.columns} | values


def open_page(page: str, **query: str | int) -> AppTest:
    """A page as a viewer finds it at its address."""
    opened = AppTest.from_string(SCRIPT.format(page=page), default_timeout=SECONDS)
    for name, value in query.items():
        opened.query_params[name] = str(value)
    return run(opened)


def run(page: AppTest) -> AppTest:
    """Runs a page; no page may end with an exception."""
    page.run()
    assert not page.exception, page.exception
    return page


def texts(page: AppTest) -> str:
    """All text that a page shows, but for charts and tables."""
    return "\n".join(_texts(page))


def _texts(page: AppTest) -> Iterator[str]:
    for kind in (page.title, page.header, page.markdown, page.caption, page.error, page.info):
        yield from (str(element.value) for element in kind)
    yield from (f"{metric.label}: {metric.value}" for metric in page.metric)
