"""The scorer's client: which model answers, and what each kind of silence and refusal means."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest
from pydantic import SecretStr

from pollux.runtime.settings import Settings
from services.events.coupons import scorer_client as module
from services.events.coupons.scorer_client import (
    NoModelYetError,
    ScorerClient,
    ScorerRefusesError,
    ScorerUnavailableError,
)
from tests.services.events import support as shops
from tests.services.events.doubles import run

CUSTOMER, COUPONS = {"customer_id": 3}, [{"coupon_id": 1}, {"coupon_id": 2}]


def client_of(
    answer: Callable[[httpx.Request], httpx.Response], monkeypatch: pytest.MonkeyPatch, **more: Any
) -> ScorerClient:
    """A client whose requests a function answers."""
    make = httpx.AsyncClient

    def with_transport(**given: Any) -> httpx.AsyncClient:
        return make(**given, transport=httpx.MockTransport(answer))

    monkeypatch.setattr(module.httpx, "AsyncClient", with_transport)
    return ScorerClient(Settings(scoring_url="http://scorer", **more))


def test_the_real_thing_over_http(scorer: shops.Scorer) -> None:
    async def work() -> None:
        client = ScorerClient(Settings(scoring_url=scorer.url))
        assert client.model is None
        assert await client.look() == "m1"
        model, found = await client.score(CUSTOMER, COUPONS)
        assert model == "m1"
        assert dict(found) == {number: shops.prediction("m1", 3, number) for number in (1, 2)}
        assert found == sorted(found, key=lambda one: -one[1])
        scorer.model = None
        assert await client.look() is None
        with pytest.raises(NoModelYetError):
            await client.score(CUSTOMER, COUPONS)
        scorer.model = "m2"
        assert await client.look() == "m2"
        await client.close()

    run(work)


@pytest.mark.parametrize(
    ("status", "kind", "error"),
    [
        (401, "application/problem+json", ScorerRefusesError),
        (421, "application/problem+json", ScorerRefusesError),
        (503, "application/problem+json", NoModelYetError),
        # Of something in between, not of the scorer.
        (503, "text/html", ScorerUnavailableError),
        (500, "application/problem+json", ScorerUnavailableError),
        (404, "text/plain", ScorerUnavailableError),
        (302, "text/html", ScorerUnavailableError),
    ],
)
def test_what_each_status_means(
    monkeypatch: pytest.MonkeyPatch, status: int, kind: str, error: type[Exception]
) -> None:
    async def work() -> None:
        client = client_of(
            lambda _: httpx.Response(status, headers={"Content-Type": kind}), monkeypatch
        )
        with pytest.raises(error):
            await client.score(CUSTOMER, COUPONS)
        await client.close()

    run(work)


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (401, "set POLLUX_SCORING_KEY"),
        (421, "does not answer as scorer: add that name to POLLUX_ALLOWED_HOSTS where the scorer"),
    ],
)
def test_a_refusal_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, status: int, what: str
) -> None:
    async def work() -> None:
        client = client_of(lambda _: httpx.Response(status), monkeypatch)
        with pytest.raises(ScorerRefusesError, match=what) as caught:
            await client.look()
        assert caught.value.exit_code == 2
        await client.close()

    run(work)


def test_the_key_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        heard.append(request)
        return httpx.Response(200, headers={"X-Pollux-Model": "m"}, content=b"[]")

    async def work() -> None:
        client = client_of(answer, monkeypatch, scoring_key=SecretStr("s3cret"))
        await client.score(CUSTOMER, COUPONS)
        await client.close()

    run(work)
    assert heard[0].headers["Authorization"] == "Bearer s3cret"
    assert orjson.loads(heard[0].content) == {"customer": CUSTOMER, "coupons": COUPONS}


def test_one_that_was_silent_for_long_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked, is_up = [0.0], [], [False]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if not is_up[0]:
            raise httpx.ConnectError("refused")
        return httpx.Response(200, headers={"X-Pollux-Model": "m"}, content=b"[]")

    client = client_of(answer, monkeypatch)

    async def work() -> None:
        now[0] = 100.0
        with pytest.raises(ScorerUnavailableError):
            await client.score(CUSTOMER, COUPONS)
        now[0] += module.SILENT_SECONDS - 1
        assert not client.is_silent
        with pytest.raises(ScorerUnavailableError):
            await client.score(CUSTOMER, COUPONS)
        now[0] += 1
        assert client.is_silent
        count = len(asked)
        with pytest.raises(ScorerUnavailableError, match="silent"):
            await client.score(CUSTOMER, COUPONS)
        assert len(asked) == count
        # Looking goes on, and finds it back.
        is_up[0] = True
        assert await client.look() == "m"
        assert not client.is_silent
        assert (await client.score(CUSTOMER, COUPONS))[0] == "m"
        await client.close()

    # The clock of the test's own limit of time would stand still, too.
    asyncio.run(work())
