"""What a viewer sees when a page cannot be shown."""

from http import HTTPStatus

import httpx
import pytest

from tests.services.dashboard.support import FakeServices, open_page, problem, run, texts

SIZES = "/v1/segments"


def test_while_the_api_is_down_it_says_how_to_start_it(services: FakeServices) -> None:
    services.is_away = True
    said = texts(open_page("today"))
    assert "The API does not answer" in said
    assert "http://127.0.0.1:8000" in said
    assert "`pollux serve api`" in said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            problem(HTTPStatus.SERVICE_UNAVAILABLE, "nothing-released", "Load and build."),
            ["Nothing is released yet", "Load and build."],
        ),
        (
            problem(HTTPStatus.SERVICE_UNAVAILABLE, "database-unavailable", "It is down."),
            ["The API is not ready", "It is down.", "Try again"],
        ),
        (
            problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid-input", "query limit: too high"),
            ["The API cannot take this", "query limit: too high"],
        ),
        (
            problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal-error", "It failed."),
            ["The API failed", "logs"],
        ),
        (problem(HTTPStatus.NOT_FOUND, "unknown-path", "Nothing is here."), ["Nothing is here."]),
    ],
)
def test_a_problem_says_what_to_do(services: FakeServices, answer: object, said: list[str]) -> None:
    services.documents[SIZES] = answer
    shown = texts(open_page("segments"))
    for text in said:
        assert text in shown


def test_an_answer_that_is_no_problem_document_is_a_failure(services: FakeServices) -> None:
    services.documents[SIZES] = httpx.Response(502, text="<html>Bad gateway</html>")
    shown = texts(open_page("segments"))
    assert "The API failed" in shown
    assert "status 502" in shown


def test_a_key_is_asked_for_and_stays_in_the_session(services: FakeServices) -> None:
    services.key = "right"
    for path in ("/v1/alerts", "/v1/releases", SIZES, "/v1/segments/moves", "/v1/coupon-offers"):
        services.serve(path, [])
    page = open_page("today")
    assert "wants a key" in texts(page)
    page.text_input[0].set_value("wrong")
    page.button[0].click()
    assert "refuses this key" in texts(run(page))
    page.text_input[0].set_value("right")
    page.button[0].click()
    said = texts(run(page))
    assert "wants a key" not in said
    assert "Segments of households" in said
    # Another session has no key, and gets nothing of what this one was answered.
    assert "wants a key" in texts(open_page("today"))


def test_a_key_that_cannot_be_sent_is_refused(services: FakeServices) -> None:
    services.key = "right"
    for path in ("/v1/alerts", "/v1/releases", SIZES, "/v1/segments/moves", "/v1/coupon-offers"):
        services.serve(path, [])
    page = open_page("today")
    page.text_input[0].set_value("schlüssel…")
    page.button[0].click()
    assert "refuses this key" in texts(run(page))


def test_a_part_that_the_key_does_not_open_names_its_scope(services: FakeServices) -> None:
    for path in ("/v1/alerts", "/v1/releases", SIZES, "/v1/segments/moves", "/v1/coupon-offers"):
        services.serve(path, [])
    services.scopes = {"metrics", "store:read"}
    page = open_page("today")
    said = texts(page)
    assert "Your key does not open this" in said
    assert "needs the scope households:read" in said
    # What is before and after it is shown, and who may not mend anything is told of no alerts.
    assert "Nothing is released yet" in said
    assert "No customer of the shop has been there yet" in said
    assert "admin" not in said


@pytest.mark.parametrize(
    ("scopes", "shown", "missing"),
    [
        (set(), [], ["metrics", "admin"]),
        ({"metrics"}, ["What is served"], ["admin", "vouchers:select", "members:read"]),
        ({"admin"}, ["No run of the pipelines has failed"], ["metrics"]),
        (
            {"metrics", "vouchers:select"},
            ["No row came in"],
            ["admin", "members:read", "marts:read"],
        ),
    ],
)
def test_the_page_of_quality_shows_what_the_key_opens(
    services: FakeServices, scopes: set[str], shown: list[str], missing: list[str]
) -> None:
    release = {"domain": "loyalty", "number": 7, "name": "loyalty-7", "released_at": None}
    services.serve("/v1/releases", [release])
    for path in ("/v1/alerts", "/v1/vouchers/cleaning-report"):
        services.serve(path, [])
    services.serve("/v1/promotions/cleaning-report", [])
    services.serve("/v1/quality", [])
    services.serve("/v1/marts", [])
    services.scopes = scopes
    page = open_page("quality")
    said = texts(page) + "".join(str(one.value) for one in page.success)
    for text in shown:
        assert text in said
    for scope in missing:
        assert f"needs the scope {scope}" in said
    assert "Services" in said


def test_a_key_that_asks_too_often_waits(services: FakeServices) -> None:
    services.documents[SIZES] = problem(
        HTTPStatus.TOO_MANY_REQUESTS, "too-many-requests", "This key may ask 5 times a minute."
    )
    said = texts(open_page("segments"))
    assert "may ask 5 times a minute. Try again in a moment" in said
