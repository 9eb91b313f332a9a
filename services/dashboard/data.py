"""What pages read: documents and lists of the services, kept while their release is current.

A view asks which releases are current at most twice a second; what it has read from one is asked
for again after a minute, or when somebody was erased from a release: so a second after that, no
view shows them. Keys are told apart: an answer that one key got is not shown to another.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import uuid4

import streamlit as st

from pollux.runtime.settings import Settings
from services.dashboard.client import Client, Parameters, Service, ServiceError, Trouble

CURRENT_SECONDS = 0.5
FRESH_SECONDS = 2
ANSWER_SECONDS = 60
MOST_ANSWERS = 512
# The most that the API puts on a page.
MOST_ROWS = 1000
MOST_PAGES = 5
# Where the session of a viewer has the key.
KEY = "api_key"

Row = Mapping[str, Any]


def read(path: str, **parameters: str | float | bool) -> dict[str, Any]:
    """A document of the API; raises `ServiceError`."""
    return _read(path, tuple(parameters.items()), key(), _etags())


def find(path: str, **parameters: str | float | bool) -> dict[str, Any] | None:
    """The same; None where there is no such thing."""
    try:
        return read(path, **parameters)
    except ServiceError as error:
        if error.trouble is Trouble.NOT_FOUND:
            return None
        raise


class LiveDocument(NamedTuple):
    """A document, its ETag, and when it was computed where it is newer than the release."""

    document: dict[str, Any]
    etag: str
    computed_at: str | None


def find_live(path: str) -> LiveDocument | None:
    """A document that may be newer than the release, at most two seconds old; None without one."""
    try:
        return _read_live(path, key(), _etags())
    except ServiceError as error:
        if error.trouble is Trouble.NOT_FOUND:
            return None
        raise


def rows(path: str, **parameters: str | float | bool) -> list[Row]:
    """A list of the API, at most 1,000 rows where no `limit` is given; raises `ServiceError`."""
    found: list[Row] = read(path, **{"limit": MOST_ROWS, **parameters})["data"]
    return found


def find_rows(path: str, etag: str, /, **parameters: str | float | bool) -> list[Row]:
    """A list of a customer whose document has this ETag; empty where there is no such list."""
    try:
        found = _read(path, tuple(parameters.items()), key(), {**_etags(), "": etag})
    except ServiceError as error:
        if error.trouble is Trouble.NOT_FOUND:
            return []
        raise
    listed: list[Row] = found["data"]
    return listed


def whole(path: str, **parameters: str | float | bool) -> list[Row]:
    """A list of the API of up to 5,000 rows, a page at a time; raises `ServiceError`."""
    found: list[Row] = []
    asked = {"limit": MOST_ROWS, **parameters}
    for _ in range(MOST_PAGES):
        page = read(path, **asked)
        found += page["data"]
        if page["next"] is None:
            break
        asked |= {"next": page["next"]}
    return found


def in_path(name: str) -> str:
    """A name of the data as a part of a path: it may hold a slash."""
    return quote(name, safe="")


def csv(path: str, **parameters: str | float | bool) -> Callable[[], bytes]:
    """What reads the whole list as the API writes it as CSV, when it is wanted.

    It has the viewer's key: a download is made outside of the viewer's session.
    """
    sent = key()

    def read_list() -> bytes:
        return client().ask(Service.API, path, parameters, key=sent, accept="text/csv").content

    return read_list


def ask(
    service: Service, path: str, parameters: Parameters | None = None, body: Row | None = None
) -> Any:  # noqa: ANN401 - a document or a list
    """An answer of any service, asked for anew each time; raises `ServiceError`."""
    return client().ask(service, path, parameters, key=key(), body=body).json()


def fresh(
    path: str, *, service: Service = Service.API, **parameters: str | float | bool
) -> dict[str, Any]:
    """A document that no release has, at most two seconds old."""
    return _read_fresh(service, path, tuple(parameters.items()), key())


def key() -> str | None:
    """The key of this session's viewer."""
    return st.session_state.get(KEY)


@st.cache_resource(show_spinner=False)
def client() -> Client:
    """The process's connections to the services."""
    return Client(Settings())


@st.cache_data(ttl=CURRENT_SECONDS, show_spinner=False)
def _etags() -> dict[str, str]:
    try:
        found: dict[str, str] = client().ask(Service.API, "/readyz").json()["etags"]
    except ServiceError as error:
        if error.trouble is not Trouble.ENDING:
            raise
        # It does not say which are current: nothing is kept until another API is there.
        return {"ending": uuid4().hex}
    return found


@st.cache_data(ttl=FRESH_SECONDS, max_entries=MOST_ANSWERS, show_spinner=False)
def _read_fresh(
    service: Service,
    path: str,
    parameters: Sequence[tuple[str, str | float | bool]],
    key: str | None,
) -> dict[str, Any]:
    found: dict[str, Any] = client().ask(service, path, dict(parameters), key=key).json()
    return found


@st.cache_data(ttl=FRESH_SECONDS, max_entries=MOST_ANSWERS, show_spinner=False)
def _read_live(
    path: str,
    key: str | None,
    etags: Mapping[str, str],  # noqa: ARG001 - what the answer is kept by
) -> LiveDocument:
    answer = client().ask(Service.API, path, key=key)
    freshness = answer.headers.get("X-Pollux-Freshness", "")
    computed_at = freshness.rpartition("; computed=")[2] or None
    return LiveDocument(answer.json(), answer.headers.get("ETag", ""), computed_at)


@st.cache_data(ttl=ANSWER_SECONDS, max_entries=MOST_ANSWERS, show_spinner=False)
def _read(
    path: str,
    parameters: Sequence[tuple[str, str | float | bool]],
    key: str | None,
    etags: Mapping[str, str],  # noqa: ARG001 - what the answer is kept by
) -> dict[str, Any]:
    found: dict[str, Any] = client().ask(Service.API, path, dict(parameters), key=key).json()
    return found
