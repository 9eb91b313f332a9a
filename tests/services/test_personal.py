"""A person in requests that are refused, or fail, is in no log and no metric."""

import logging
from collections.abc import AsyncIterator
from urllib.parse import quote

import asyncpg
import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from pollux.runtime.settings import Settings
from services.api import app as api
from services.scoring import app as scoring
from tests.services.api.support import NUMBER, client_of, embedded_store, release_all
from tests.support.canary import EMAIL, NAME, ask_for_a_person, traces_in

pytestmark = pytest.mark.endurance

PATHS = [
    "/v1/households/{}", "/v1/customers/{}", "/v1/members/{}", "/v1/coupons/{}/products",
    "/v1/marts/loyalty/{}", "/v1/marts/{}/members", "/v1/segments/{}", "/{}", "/v1/{}/{}",
]  # fmt: skip
LISTS = ["/v1/members", "/v1/households", "/v1/marts/loyalty/members"]
POSTS = ["/v1/vouchers/select", "/score", "/score/batch"]


def add_failing_routes(app: FastAPI) -> None:
    """Routes that fail as a database does, before and after the answer has begun."""

    async def fail(request: Request) -> None:
        try:
            int(request.query_params["email"])
        except ValueError as error:
            detail = f"DETAIL: Key (email)=({EMAIL}) already exists."
            raise asyncpg.UniqueViolationError(f"{NAME}: {detail}") from error

    async def begun() -> AsyncIterator[bytes]:
        yield b"[" * 100_000
        raise asyncpg.DataError(f"invalid input for query argument $1: '{EMAIL}'")

    async def stop() -> StreamingResponse:
        return StreamingResponse(begun())

    app.add_api_route("/v1/failing/{person}", fail)
    app.add_api_route("/v1/stopping/{person}", stop)


@pytest.mark.parametrize("service", ["api", "scoring"])
def test_requests_leave_no_trace_of_a_person(
    service: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with embedded_store() as (made, store):
        if service == "api":
            with store.connect(autocommit=True) as connection:
                release_all(connection, NUMBER)
        # What is checked beside the log of requests is as it is in use: uvicorn's own logs, too.
        caplog.set_level(logging.DEBUG)
        settings = Settings(**{**made.model_dump(), "log_requests": True})
        app = {"api": api, "scoring": scoring}[service].create_app(settings)
        add_failing_routes(app)
        with client_of(app) as client:
            answers = ask_for_a_person(client, paths=PATHS, lists=LISTS, posts=POSTS)
            failed = client.get(f"/v1/failing/{quote(NAME)}", params={"email": EMAIL})
            with pytest.raises(httpx.TransportError):
                client.get(f"/v1/stopping/{quote(EMAIL)}")
            metrics = client.get("/metrics").text
        assert store.embedded is not None
        server_log = store.embedded.log.read_text()

    statuses = {answer.status_code for answer in answers}
    assert {404, 422} <= statuses
    assert failed.status_code == 500
    assert traces_in(failed.text.replace(quote(NAME), "")) == []
    # The person was asked for: answers say what of.
    assert any(traces_in(answer.text) for answer in answers)

    spoken = capfd.readouterr()
    log = (
        spoken.out
        + spoken.err
        + "\n".join(
            record.getMessage() + str(record.exc_text)
            for record in caplog.records
            if not record.name.startswith(("httpx", "httpcore", "tests"))
        )
    )
    # There was something to scan: the log of requests, and the failures with their places.
    assert '"route":"/v1/failing/{person}"' in log
    assert "A request failed: GET /v1/failing/{person}" in log
    assert "UniqueViolationError" in log
    assert "A request failed: GET /v1/stopping/{person}" in log
    assert 'route="/v1/failing/{person}",status="500"' in metrics
    assert "database system is ready" in server_log
    assert traces_in(log) == []
    assert traces_in(metrics) == []
    assert traces_in(server_log) == []
