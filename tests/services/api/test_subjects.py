"""Erasing somebody over HTTP: who was answered with before is unknown a second later."""

import time

import httpx
import pytest

from pollux.runtime import erasures
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.api.subjects import Erased
from tests.services.api.support import within_a_second

pytestmark = pytest.mark.integration


@pytest.fixture
def store(installation: tuple[Settings, ServingStore]) -> ServingStore:
    return installation[1]


def test_nobody_is_answered_with_a_second_after_they_were_erased(
    client: httpx.Client, store: ServingStore
) -> None:
    paths = ["/v1/households/1", "/v1/households/1/summary", "/v1/marts/household/household_rfm"]
    # Twice, so that the second answer comes from memory.
    for path in [*paths, *paths]:
        assert client.get(path).status_code == 200
    number_before = len(client.get(paths[2], params={"household_key": 1}).json()["data"])
    assert number_before == 1
    answer = client.delete("/v1/subjects/household/01")
    erased_at = time.monotonic()
    erased = Erased.model_validate_json(answer.content)
    assert erased.kind == "household"
    assert erased.rows["household__r3.household_rfm"] == 1
    within_a_second(erased_at, lambda: client.get(paths[0]).status_code == 404)
    assert client.get(paths[1]).status_code == 404
    assert client.get(paths[2], params={"household_key": 1}).json()["data"] == []
    # Others are answered with as before.
    assert client.get("/v1/households/2").status_code == 200
    with store.connect() as connection:
        assert erasures.read_suppressed(connection).has("household", "1")


def test_who_is_unknown_is_kept_out_all_the_same(client: httpx.Client, store: ServingStore) -> None:
    answer = client.delete("/v1/subjects/member/Nobody@Example.org")
    assert answer.json()["rows"] == {}
    assert answer.headers["cache-control"] == "no-store"
    with store.connect() as connection:
        assert erasures.read_suppressed(connection).has("member", "nobody@example.org")


@pytest.mark.parametrize(
    ("path", "name", "detail"),
    [
        ("dog/1", "kind", "dog is no kind of subject: say household, customer, member, account."),
        ("household/one", "id", "The id of a household is a whole number."),
        ("member/anna", "id", "The id of a member is its email."),
    ],
)
def test_what_is_nobody_is_refused(client: httpx.Client, path: str, name: str, detail: str) -> None:
    answer = client.delete(f"/v1/subjects/{path}")
    assert answer.status_code == 422
    assert answer.json()["errors"] == [{"in": "path", "name": name, "detail": detail}]
