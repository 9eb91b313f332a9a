"""The log of requests and the metrics of requests and releases."""

import hashlib
import io
import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, Response
from prometheus_client.parser import text_string_to_metric_families

from pollux.runtime.keys import KeyScope
from pollux.runtime.settings import Settings
from services.common import health
from services.common.api_keys import ApiKeys
from services.common.app import make_app
from services.common.metrics import Metrics
from services.common.problems import ProblemError
from services.common.releases import Release
from services.common.request_log import RequestLog
from services.common.scopes import ScopedRouter
from tests.support import asgi

KEY = "a key"
HASH = hashlib.sha256(KEY.encode()).hexdigest()
FIELDS = ["time", "service", "method", "route", "status", "ms", "release", "key"]

router = ScopedRouter(KeyScope.HOUSEHOLDS_READ)


@router.get("/v1/things/{thing}")
async def thing(thing: str, email: str = "") -> Response:
    if thing == "fault":
        raise ValueError(thing)
    if thing == "none":
        raise ProblemError(404, "unknown", "Unknown", thing)  # type: ignore[arg-type]
    return Response("{}", headers={"X-Pollux-Release": "household-3"})


def app_with(**values: Any) -> FastAPI:
    settings = Settings(**{"api_keys": HASH} | values)
    metrics = Metrics()
    return make_app(
        settings,
        name="things",
        title="Things",
        description="",
        tags=[],
        lifespan=None,  # type: ignore[arg-type]
        metrics=metrics,
        keys=ApiKeys(settings, metrics.refuse_key),
        routers=[router, *health.ROUTERS],
    )


def ask(app: FastAPI, *requests: tuple[str, str]) -> None:
    for method, path in requests:
        asgi.ask(app, method, path, headers={"Authorization": f"Bearer {KEY}"})


def test_a_request_is_a_line_without_values(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    app = app_with(log_requests=True)
    before = datetime.now(UTC)
    ask(
        app,
        ("GET", "/v1/things/4711?email=ann@example.com"),
        ("HEAD", "/v1/things/4712"),
        ("GET", "/v1/things/none"),
        ("GET", "/v1/things/fault"),
        ("GET", "/v1/unknown/4713"),
    )
    written = capsysbinary.readouterr().out.decode()
    for value in ("4711", "4712", "4713", "ann", "none", "fault", KEY, HASH):
        assert value not in written
    lines = [json.loads(line) for line in written.splitlines()]
    assert [list(line) for line in lines] == [FIELDS] * 5
    found = [(line["method"], line["route"], line["status"], line["release"]) for line in lines]
    template = "/v1/things/{thing}"
    assert found == [
        ("GET", template, 200, "household-3"),
        ("HEAD", template, 200, "household-3"),
        ("GET", template, 404, None),
        ("GET", template, 500, None),
        ("GET", "unmatched", 404, None),
    ]
    for line in lines:
        assert line["service"] == "things"
        assert line["key"] == f"setting:{HASH[:8]}"
        assert 0 <= line["ms"] < 10_000
        assert line["time"].endswith("Z")
        assert before <= datetime.fromisoformat(line["time"]) <= datetime.now(UTC)


def test_without_the_setting_nothing_is_logged(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    ask(app_with(), ("GET", "/v1/things/1"))
    assert capsysbinary.readouterr().out == b""


def test_a_log_that_nobody_reads_any_more_ends_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.BytesIO):
        def write(self, _data: Any) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stdout", SimpleNamespace(buffer=Gone()))
    RequestLog("things").write(
        method="GET", route="/", status=200, seconds=0.1, headers=[], key=None
    )


def test_metrics_have_the_time_of_each_route_and_few_routes() -> None:
    app = app_with()
    paths = [f"/v1/things/{number}" for number in range(20)]
    ask(app, *(("GET", path) for path in [*paths, *(f"/other{path}" for path in paths)]))
    found = {
        sample.labels["route"]: sample.value
        for family in text_string_to_metric_families(app.state.metrics.text().decode())
        for sample in family.samples
        if sample.name == "pollux_http_request_seconds_bucket" and sample.labels["le"] == "+Inf"
    }
    assert found == {"/v1/things/{thing}": 20, "unmatched": 20}


def test_metrics_have_the_age_of_each_release() -> None:
    metrics = Metrics()
    made = datetime.now(UTC) - timedelta(hours=1)
    ahead = datetime.now(UTC) + timedelta(hours=1)

    def ages() -> dict[str, float]:
        return {
            sample.labels["domain"]: sample.value
            for family in text_string_to_metric_families(metrics.text().decode())
            for sample in family.samples
            if sample.name == "pollux_release_age_seconds"
        }

    metrics.know_releases(
        {
            "household": Release("household", 1, made, ""),
            "store": Release("store", 1, ahead, ""),
            "loyalty": Release("loyalty", 1, None, ""),
        }
    )
    first = ages()
    assert set(first) == {"household", "store"}
    assert 3600 <= first["household"] < 3700
    assert first["store"] == 0
    assert ages()["household"] > first["household"]
    metrics.know_releases({"store": Release("store", 2, made, "")})
    assert set(ages()) == {"store"}
