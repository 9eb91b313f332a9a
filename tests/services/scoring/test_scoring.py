"""The scorer: what it answers, what it refuses, and how it follows the promoted model."""

import asyncio
import json
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from fastapi import FastAPI
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from orchestration.learn.propensity import training
from orchestration.learn.propensity.card import Card
from orchestration.learn.propensity.pairs import read_pairs
from pollux import propensity
from pollux.runtime.settings import Settings
from services.common.require_key import OPEN_PATHS
from services.events.coupons import scorer_client
from services.scoring import models
from services.scoring.app import create_app
from services.scoring.schemas import MAX_COUPONS, MAX_PAIRS, Coupon, Customer
from tests.services.scoring.bodies import COUPON, CUSTOMER
from tests.support import asgi
from tests.support.histories import open_sample

NULLABLE = {
    "gender", "age", "mean_buy_price", "mean_discount_received", "coupon_type", "department",
    "discount", "how_many_products_required", "product_mean_price", "products_available",
}  # fmt: skip
JSON = {"content-type": "application/json"}


def start(settings: Settings) -> FastAPI:
    app = create_app(settings)
    app.state.model.look()
    return app


@pytest.fixture(scope="module")
def app(trained_store: tuple[Settings, Card]) -> FastAPI:
    return start(trained_store[0])


def ask(app: FastAPI, path: str, body: object = None, method: str = "POST") -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    if method == "GET":
        return asgi.ask(app, method, path)
    return asgi.ask(app, method, path, content=content, headers=JSON)


def score(app: FastAPI, customer: dict[str, Any], *coupons: dict[str, Any]) -> list[dict[str, Any]]:
    answer = ask(app, "/score", {"customer": customer, "coupons": coupons})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def prediction(app: FastAPI, **changes: object) -> float:
    customer = CUSTOMER | {key: value for key, value in changes.items() if key in CUSTOMER}
    coupon = COUPON | {key: value for key, value in changes.items() if key in COUPON}
    found: float = score(app, customer, coupon)[0]["prediction"]
    return found


def test_the_scorer_predicts_what_training_measured(
    app: FastAPI, trained_store: tuple[Settings, Card], store_files: Path
) -> None:
    """The rows of the test window, sent as a caller would, get the predictions of the card."""
    here, card = trained_store
    folder = propensity.models_dir(here) / card.id
    measured = {
        (row["order_id"], row["coupon_id"]): row["prediction"]
        for row in pq.read_table(folder / training.PREDICTIONS_FILE).to_pylist()
    }
    with open_sample(store_files) as history:
        rows = read_pairs(history).table.slice(0).to_pylist()[-len(measured) :]
    requests = [
        {
            "customer": {name: _sent(row[name]) for name in Customer.model_fields},
            "coupons": [{name: _sent(row[name]) for name in Coupon.model_fields}],
        }
        for row in rows[::25]
    ]
    answers = ask(app, "/score/batch", requests).json()
    assert len(answers) == len(requests) > 50
    for row, (found,) in zip(rows[::25], answers, strict=True):
        assert found["coupon_id"] == row["coupon_id"]
        assert found["customer_id"] == row["customer_id"]
        expected = measured[row["order_id"], row["coupon_id"]]
        assert found["prediction"] == pytest.approx(expected, abs=1e-12)


def _sent(value: object) -> object:
    return int(value) if isinstance(value, float) and value == int(value) else value


def test_an_answer_has_the_best_coupon_first(app: FastAPI) -> None:
    coupons = [COUPON | {"coupon_id": number, "discount": number} for number in range(1, 60)]
    answer = ask(app, "/score", {"customer": CUSTOMER, "coupons": coupons})
    found = answer.json()
    assert answer.headers["x-pollux-model"] == app.state.model.get().id
    assert {one["coupon_id"] for one in found} == set(range(1, 60))
    assert all(set(one) == {"coupon_id", "customer_id", "prediction"} for one in found)
    assert all(one["customer_id"] == 127 and 0 < one["prediction"] < 1 for one in found)
    keys = [(-one["prediction"], one["coupon_id"]) for one in found]
    assert keys == sorted(keys)
    # A deeper discount is used more often.
    assert prediction(app, discount=50) > prediction(app, discount=5)


def test_an_explanation_adds_up_to_its_prediction(app: FastAPI) -> None:
    """Contributions and base are log-odds: the sigmoid of their sum is the prediction."""
    coupons = [COUPON | {"coupon_id": number, "discount": 5 * number} for number in range(1, 9)]
    coupons.append(COUPON | {"coupon_id": 9, "department": "Garden", "product_mean_price": 0})
    body = {"customer": CUSTOMER, "coupons": coupons}
    explained = ask(app, "/score?explain=true", body)
    assert explained.headers["x-pollux-model"] == app.state.model.get().id
    found = explained.json()
    plain = [{key: one[key] for key in one if key != "explanation"} for one in found]
    assert plain == score(app, CUSTOMER, *coupons)
    for one in found:
        base, parts = (one["explanation"][name] for name in ("base", "contributions"))
        assert {part["feature"] for part in parts} == set(propensity.FEATURES)
        log_odds = math.fsum([base, *(part["added"] for part in parts)])
        assert 1 / (1 + math.exp(-log_odds)) == pytest.approx(one["prediction"], abs=1e-9)
        strengths = [abs(part["added"]) for part in parts]
        assert strengths == sorted(strengths, reverse=True)
        assert strengths[0] > 0.01
    assert len({one["explanation"]["base"] for one in found}) == 1


def test_an_explanation_is_in_words(app: FastAPI) -> None:
    odd = COUPON | {"discount": 60, "department": "Garden", "product_mean_price": 0}
    odd |= {"how_many_products_required": -1}
    body = {"customer": CUSTOMER | {"age": None}, "coupons": [odd]}
    (found,) = ask(app, "/score?explain=true", body).json()
    parts = {part["feature"]: part for part in found["explanation"]["contributions"]}
    effects = {1: "makes use more likely", -1: "makes use less likely", 0: "changes nothing"}
    said = {
        "discount": (60, "the coupon's discount is 60 %"),
        "gender": ("F", "the customer's gender is F"),
        "mean_buy_price": (17.35, "the mean price that the customer pays is 17.35 dollars"),
        "total_items_bought": (402, "the number of items the customer bought is 402"),
        "age": (None, "the customer's age is not known"),
        "how_many_products_required": (-1, "number of items the coupon requires is not fixed"),
        # One that the model was not trained on, and a logarithm that there is not.
        "department": (None, "the coupon's department is not known"),
        "log_price_ratio": (None, "mean price over the customer's mean price is not known"),
    }
    for feature, (value, words) in said.items():
        part = parts[feature]
        assert part["value"] == value
        effect = effects[(part["added"] > 0) - (part["added"] < 0)]
        assert part["words"].endswith(f"{words}, which {effect}")
    # A deeper discount is used more often.
    assert parts["discount"]["added"] > 0


def test_how_much_is_explained_is_read_like_any_query(app: FastAPI) -> None:
    body = {"customer": CUSTOMER, "coupons": [COUPON]}
    assert ask(app, "/score?explain=false", body).json() == score(app, CUSTOMER, COUPON)
    for query, detail in (
        ("explain=perhaps", "query explain: "),
        ("explained=true", "query explained: Not a parameter of this path, which takes explain"),
    ):
        answer = ask(app, f"/score?{query}", body)
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith(detail)


def test_a_batch_is_its_requests(app: FastAPI) -> None:
    other = CUSTOMER | {"customer_id": 5, "age": 20}
    many = [COUPON | {"coupon_id": number, "discount": number} for number in (7, 40)]
    asked = [(CUSTOMER, many), (other, []), (other, [COUPON])]
    requests = [{"customer": customer, "coupons": coupons} for customer, coupons in asked]
    found = ask(app, "/score/batch", requests).json()
    assert found == [score(app, customer, *coupons) for customer, coupons in asked]
    assert ask(app, "/score/batch", []).json() == []


def test_no_coupons_and_a_thousand(app: FastAPI) -> None:
    assert score(app, CUSTOMER) == []
    many = [COUPON | {"coupon_id": number} for number in range(MAX_COUPONS)]
    assert [one["coupon_id"] for one in score(app, CUSTOMER, *many)] == list(range(MAX_COUPONS))
    answer = ask(app, "/score", {"customer": CUSTOMER, "coupons": [*many, COUPON]})
    assert answer.status_code == 422
    assert "1000" in answer.json()["detail"]
    request = {"customer": CUSTOMER, "coupons": many}
    too_many = [request] * (MAX_PAIRS // MAX_COUPONS + 1)
    assert ask(app, "/score/batch", too_many).status_code == 422


def test_unknown_and_missing_values_are_scored(app: FastAPI) -> None:
    assert prediction(app, department="Sports") == prediction(app, department="Sport")
    for field in ("department", "coupon_type", "gender"):
        unknown = prediction(app, **{field: "Garden"})
        assert unknown == prediction(app, **{field: None})
        assert 0 < unknown < 1
    newcomer = dict.fromkeys(("mean_buy_price", "mean_discount_received"))
    counts = [name for name in CUSTOMER if name.startswith(("total", "unique"))]
    assert 0 < prediction(app, **newcomer, **dict.fromkeys(counts, 0)) < 1
    assert 0 < prediction(app, age=7000, total_items_bought=2**63 - 1, product_mean_price=0) < 1


BAD_VALUES = [
    "text", "12", "", [], {}, True, False, [1], 1e300, -1e300, 2**63, -(2**63) - 1, 1.5,
    float("nan"), float("inf"),
]  # fmt: skip
FRACTIONS = {"discount", "mean_buy_price", "mean_discount_received", "product_mean_price"}
TEXTS = {"gender", "coupon_type", "department"}


@pytest.mark.parametrize("field", [*CUSTOMER, *COUPON])
def test_wrong_fields_are_refused(app: FastAPI, field: str) -> None:
    def answer(document: Callable[[dict[str, Any]], dict[str, Any]]) -> httpx.Response:
        customer = document(CUSTOMER) if field in CUSTOMER else CUSTOMER
        coupon = document(COUPON) if field in COUPON else COUPON
        return ask(app, "/score", {"customer": customer, "coupons": [coupon]})

    for value in [*BAD_VALUES, None]:
        found = answer(lambda one, value=value: one | {field: value})
        is_text = isinstance(value, str | int) or (
            isinstance(value, float) and math.isfinite(value)
        )
        is_good = (
            field in NULLABLE
            if value is None or value == ""
            else (is_text and field in TEXTS)
            or (value == 1.5 and field in FRACTIONS)
            or value == "12"
        )
        assert found.status_code == (200 if is_good else 422), (field, value, found.text)
        if not is_good:
            problem = found.json()
            assert found.headers["content-type"] == "application/problem+json"
            assert problem["type"] == "urn:pollux:problem:invalid-input"
            assert field in problem["detail"]
    missing = answer(lambda one: {name: one[name] for name in one if name != field})
    assert missing.status_code == 422
    assert f"{field}: Field required" in missing.json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"null", 422),
        (b"[]", 422),
        (b"{}", 422),
        (json.dumps({"customer": CUSTOMER}).encode(), 422),
        (json.dumps({"customer": CUSTOMER, "coupons": {}}).encode(), 422),
        (json.dumps({"customer": CUSTOMER, "coupons": [None]}).encode(), 422),
        (json.dumps({"customer": CUSTOMER, "coupons": [], "limit": 1}).encode(), 422),
        (json.dumps({"customer": CUSTOMER | {"name": "x"}, "coupons": []}).encode(), 422),
        (json.dumps({"customer": CUSTOMER, "coupons": [COUPON | {"x": 1}]}).encode(), 422),
        (b"[" * 100_000, 400),
        (b" " * 600_000, 413),
    ],
)
def test_wrong_bodies_are_refused(app: FastAPI, body: bytes, status: int) -> None:
    answer = ask(app, "/score", body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    batch = ask(app, "/score/batch", b"[" + body + b"]")
    assert batch.status_code in {200, 400, 422}


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=150)
@given(data=st.data())
def test_no_body_makes_the_scorer_fail(app: FastAPI, data: st.DataObject) -> None:
    request: dict[str, Any] = {"customer": dict(CUSTOMER), "coupons": [dict(COUPON)]}
    for document in (request["customer"], request["coupons"][0]):
        for field in data.draw(st.lists(st.sampled_from(sorted(document)), max_size=4)):
            document[field] = data.draw(VALUES)
    answer = ask(app, "/score", request)
    assert answer.status_code in {200, 400, 422}
    if answer.status_code == 200:
        assert 0 <= answer.json()[0]["prediction"] <= 1


def test_the_card_is_shown(app: FastAPI, trained_store: tuple[Settings, Card]) -> None:
    card = ask(app, "/model", method="GET").json()
    assert card["id"] == trained_store[1].id
    assert card["test"].keys() >= {"model", training.PREVALENCE, training.PAST_RATE}
    assert ask(app, "/readyz", method="GET").json()["model"] == card["id"]
    assert ask(app, "/healthz", method="GET").json() == {"status": "up"}
    assert f'pollux_model{{id="{card["id"]}"}} 1.0' in ask(app, "/metrics", method="GET").text
    for path in ask(app, "/", method="GET").json()["links"].values():
        assert ask(app, path, method="GET").status_code == 200


def ages(app: FastAPI) -> dict[str, float]:
    """The seconds since each model was trained, as the metrics have them."""
    text = ask(app, "/metrics", method="GET").text
    return {
        sample.labels["id"]: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "pollux_model_age_seconds"
    }


def test_the_age_of_the_model_that_scores_is_told(two_models: tuple[Settings, list[str]]) -> None:
    here, (first, second) = two_models
    root = propensity.models_dir(here)
    card = root / first / propensity.CARD_FILE
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    trained = {"trained_at": f"{an_hour_ago:%Y-%m-%dT%H:%M:%SZ}"}
    card.write_text(json.dumps(json.loads(card.read_text()) | trained))
    app = start(here)
    before = ages(app)
    assert set(before) == {first}
    assert 3600 <= before[first] < 3660
    assert ages(app)[first] > before[first]
    propensity.promote(root, second)
    app.state.model.look()
    assert set(ages(app)) == {second}
    assert ages(app)[second] < 600


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"trained_at": null}', '{"trained_at": "then"}'])
def test_a_model_whose_card_does_not_say_when_it_was_trained_is_refused(
    two_models: tuple[Settings, list[str]], caplog: pytest.LogCaptureFixture, card: str
) -> None:
    here, (first, second) = two_models
    root = propensity.models_dir(here)
    app = start(here)
    (root / second / propensity.CARD_FILE).write_text(card)
    propensity.promote(root, second)
    app.state.model.look()
    assert set(ages(app)) == {first}
    assert "card.json does not say when the model was trained; train again" in caplog.text


def test_without_a_model_it_is_not_ready(tmp_path: Path) -> None:
    app = start(Settings(data_dir=tmp_path))
    body = {"customer": CUSTOMER, "coupons": []}
    for path, method in (("/score", "POST"), ("/model", "GET"), ("/readyz", "GET")):
        answer = ask(app, path, body, method=method)
        assert answer.status_code == 503
        assert answer.json()["type"] == "urn:pollux:problem:no-model"
    assert ask(app, "/healthz", method="GET").status_code == 200
    assert ages(app) == {}


def test_keys_are_required_where_there_are_any(trained_store: tuple[Settings, Card]) -> None:
    app = start(trained_store[0].model_copy(update={"api_keys": "ab" * 32}))
    assert ask(app, "/model", method="GET").status_code == 401
    assert ask(app, "/score", {"customer": CUSTOMER, "coupons": []}).status_code == 401
    assert {ask(app, path, method="GET").status_code for path in OPEN_PATHS} == {200}


def test_answers_and_problems_are_documented(app: FastAPI) -> None:
    described = ask(app, "/openapi.json", method="GET").json()
    for path in ("/score", "/score/batch"):
        operation = described["paths"][path]["post"]
        assert operation["requestBody"]["required"]
        assert set(operation["responses"]) >= {"200", "400", "401", "413", "415", "422", "503"}
        assert "X-Pollux-Model" in operation["responses"]["200"]["headers"]
    defined = described["components"]["schemas"]
    assert set(defined["Customer"]["properties"]) == set(CUSTOMER)
    assert set(defined["Coupon"]["properties"]) == set(COUPON)


@pytest.fixture
def two_models(
    store_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Settings, list[str]]:
    """An installation with two models, the first of them promoted."""
    here = Settings(data_dir=tmp_path)
    monkeypatch.setattr(models, "POLL_SECONDS", 0.01)
    with open_sample(store_files) as history:
        pairs = read_pairs(history)
    ids = []
    for rounds in (5, 10):
        monkeypatch.setattr(training, "ROUNDS", rounds)
        ids.append(training.train_on(here, pairs, data="", seed=1).id)
    assert len(set(ids)) == 2
    propensity.promote(propensity.models_dir(here), ids[0])
    return here, ids


def test_models_change_under_load_without_a_failed_request(
    two_models: tuple[Settings, list[str]],
) -> None:
    here, ids = two_models
    root = propensity.models_dir(here)
    body = {"customer": CUSTOMER, "coupons": [COUPON]}
    expected = {}
    for model_id in ids:
        propensity.promote(root, model_id)
        expected[model_id] = prediction(start(here))
    assert len(set(expected.values())) == 2

    async def run() -> list[str]:
        app = create_app(here)
        served: list[str] = []
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
        ):
            for model_id in ids * 3:
                propensity.promote(root, model_id)
                deadline = time.monotonic() + 20
                while True:
                    answer = await client.post("/score", json=body)
                    # Nothing else here ever waits, so that the follower would not get its turn.
                    await asyncio.sleep(0)
                    assert answer.status_code == 200
                    by = answer.headers["x-pollux-model"]
                    assert answer.json()[0]["prediction"] == expected[by]
                    served.append(by)
                    if by == model_id:
                        break
                    assert time.monotonic() < deadline, f"{model_id} was not picked up"
        return served

    assert set(asyncio.run(run())) == set(ids)


def test_a_tampered_model_is_refused_and_the_old_one_stays(
    two_models: tuple[Settings, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    here, (first, second) = two_models
    root = propensity.models_dir(here)
    app = start(here)
    before = prediction(app)
    path = root / second / propensity.MODEL_FILE
    whole = path.read_text()
    path.write_text(whole.replace("leaf_value=", "leaf_value=9", 1))
    propensity.promote(root, second)
    for _ in range(2):
        app.state.model.look()
    assert app.state.model.get().id == first
    assert prediction(app) == before
    (told,) = [record.getMessage() for record in caplog.records if "refused" in record.message]
    assert "model.txt was changed since it was trained" in told
    assert f"goes on with {first}" in told
    assert "pollux_models_refused_total 1.0" in ask(app, "/metrics", method="GET").text
    # Mended, it is taken without another promotion.
    path.write_text(whole)
    app.state.model.look()
    assert app.state.model.get().id == second


def test_the_event_service_reads_an_explanation(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over its own client, of the coupon that it asks about."""
    expected = ask(app, "/score?explain=true", {"customer": CUSTOMER, "coupons": [COUPON]}).json()
    make = httpx.AsyncClient
    monkeypatch.setattr(
        scorer_client.httpx,
        "AsyncClient",
        lambda **given: make(**given, transport=httpx.ASGITransport(app)),
    )

    async def explain() -> scorer_client.Explained:
        client = scorer_client.ScorerClient(Settings())
        found = await client.explain(CUSTOMER, COUPON)
        await client.close()
        return found

    found = asyncio.run(explain())
    assert found == (
        COUPON["coupon_id"],
        app.state.model.get().id,
        expected[0]["prediction"],
        expected[0]["explanation"],
    )
