"""Voucher selection: compared with brute force, its edges, and what it refuses."""

import json
import socket
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from services.api.app import create_app
from services.api.customer.schemas import Explained, Selected
from tests.services.api.support import (
    NUMBER,
    PUBLISHED,
    Assignment,
    assignments,
    client_of,
    problem,
    switch,
    wait_until,
    within_a_second,
    write_release,
)

pytestmark = pytest.mark.integration

PATH = "/v1/vouchers/select"
AS_OF = datetime(2020, 6, 1, 12, tzinfo=UTC)
LONG = "x" * 10_000


def body(**changes: Any) -> dict[str, Any]:
    return PUBLISHED | changes


def select(client: httpx.Client, *, explain: bool = False, **changes: Any) -> dict[str, Any]:
    answer = client.post(PATH, json=body(**changes), params={"explain": True} if explain else {})
    assert answer.status_code == 200, answer.text
    (Explained if explain else Selected).model_validate(answer.json())
    found: dict[str, Any] = json.loads(answer.text, parse_float=Decimal)
    return found


def test_the_published_request_is_answered_as_published(client: httpx.Client) -> None:
    answer = client.post(PATH, json=PUBLISHED)
    assert answer.json() == {"voucher_amount": 2640}
    assert answer.text.replace(" ", "") == '{"voucher_amount":2640}'
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-pollux-release"] == f"customer-{NUMBER}"
    assert answer.headers["etag"].startswith(f'"customer-{NUMBER}-')


def test_a_selection_is_never_304(client: httpx.Client) -> None:
    for tag in ("*", client.post(PATH, json=PUBLISHED).headers["etag"]):
        answer = client.post(PATH, json=PUBLISHED, headers={"If-None-Match": tag})
        assert answer.json() == {"voucher_amount": 2640}


def expected_segment(name: str, orders: int, days: int) -> str | None:
    """The rule as people tell it."""
    if name == "frequency_segment":
        for segment, most in (("0-4", 4), ("5-13", 13), ("14-37", 37)):
            if orders <= most:
                return segment
        return None
    if days < 30:
        return None
    for segment, most in (("30-60", 60), ("61-90", 90), ("91-120", 120), ("121-180", 180)):
        if days <= most:
            return segment
    return "180+"


def most_used(found: list[Assignment]) -> list[tuple[Decimal, int]]:
    uses = Counter(one.voucher_amount for one in found if one.voucher_amount is not None)
    return sorted(uses.items(), key=lambda item: (-item[1], -item[0]))


def expected(country: str, name: str, orders: int, days: int) -> dict[str, Any]:
    """The choice among the assignments themselves, one by one."""
    segment = expected_segment(name, orders, days)
    there = [one for one in assignments(NUMBER) if one.country_code == country]
    alike = [one for one in there if segment is not None and getattr(one, name) == segment]
    basis = "segment" if most_used(alike) else "country"
    amounts = most_used(alike) or most_used(there)
    total = sum(times for _, times in amounts)
    documents = [
        {"voucher_amount": amount, "times_used": times, "share": times / total, "rank": rank}
        for rank, (amount, times) in enumerate(amounts, start=1)
    ]
    first = {key: value for key, value in documents[0].items() if key != "rank"}
    return first | {
        "country_code": country,
        "segment_name": name,
        "segment": segment,
        "basis": basis,
        "recency_days": days,
        "as_of": "2020-06-01T12:00:00Z",
        "runners_up": documents[1:],
    }


ORDERS = [0, 1, 4, 5, 13, 14, 37, 38, 10**9 - 1]
DAYS = [0, 29, 30, 60, 61, 90, 91, 120, 121, 180, 181, 4000]
# The other of the two must not matter.
CASES = [("frequency_segment", orders, days) for orders in ORDERS for days in (0, 45, 4000)]
CASES += [("recency_segment", orders, days) for days in DAYS for orders in (0, 9, 38)]


@pytest.mark.parametrize("country", ["Peru", "China", "São Tomé"])
def test_selections_are_those_of_brute_force(client: httpx.Client, country: str) -> None:
    bases = Counter[str]()
    for name, orders, days in CASES:
        # A second more is no whole day more, and a second less is one whole day less.
        for seconds, whole in ((0, days), (86_399, days), (-1, days - 1)):
            if whole < 0:
                continue
            last = (AS_OF - timedelta(days=days, seconds=seconds)).isoformat()
            asked = {
                "country_code": country,
                "segment_name": name,
                "total_orders": orders,
                "last_order_ts": last,
                "first_order_ts": last,
                "as_of": AS_OF.isoformat(),
            }
            found = select(client, explain=True, **asked)
            for one in (found, *found["runners_up"]):
                one["share"] = float(one["share"])
            wanted = expected(country, name, orders, whole)
            assert found == wanted
            assert select(client, **asked) == {"voucher_amount": wanted["voucher_amount"]}
            bases[found["basis"]] += 1
    assert min(bases["segment"], bases["country"]) > 10


def test_the_explanation_of_a_fallback_says_so(client: httpx.Client) -> None:
    over = select(client, explain=True, total_orders=38, segment_name="frequency_segment")
    assert (over["segment"], over["basis"]) == (None, "country")
    recent = select(client, explain=True, as_of="2018-06-01T23:59:59Z")
    assert (recent["segment"], recent["basis"], recent["recency_days"]) == (None, "country", 29)
    later = select(client, explain=True, as_of="2018-06-02T00:00:00Z")
    assert (later["segment"], later["basis"], later["recency_days"]) == ("30-60", "segment", 30)
    rowless = select(
        client, explain=True, country_code="China", total_orders=5,
        segment_name="frequency_segment",
    )  # fmt: skip
    assert (rowless["segment"], rowless["basis"]) == ("5-13", "country")


def test_without_as_of_recency_is_measured_now(client: httpx.Client) -> None:
    now = datetime.now(UTC)
    for days, segment in ((29, None), (30, "30-60"), (61, "61-90"), (200, "180+")):
        last = (now - timedelta(days=days, minutes=5)).isoformat()
        found = select(client, explain=True, last_order_ts=last)
        assert (found["recency_days"], found["segment"]) == (days, segment)
        assert abs(datetime.fromisoformat(found["as_of"]) - now) < timedelta(minutes=2)


@pytest.mark.parametrize("country", ["Peru", "peru", "PERU", "  pErU\t"])
def test_the_case_of_a_country_does_not_matter(client: httpx.Client, country: str) -> None:
    assert select(client, explain=True, country_code=country)["country_code"] == "Peru"
    assert select(client, country_code=country) == {"voucher_amount": 2640}


def test_letters_of_all_languages_have_case(client: httpx.Client) -> None:
    assert select(client, explain=True, country_code="SÃO TOMÉ")["country_code"] == "São Tomé"


def test_an_amount_has_decimals_only_where_it_needs_them(client: httpx.Client) -> None:
    texts = set()
    for one in client.get("/v1/vouchers", params={"country_code": "são tomé"}).json()["data"]:
        names = {"frequency_segment": {"0-4": 4, "5-13": 5, "14-37": 14}}
        orders = names.get(one["segment_name"], {}).get(one["segment"])
        if orders is not None and one["rank"] == 1:
            asked = body(
                country_code="São Tomé", total_orders=orders, segment_name="frequency_segment"
            )
            texts.add(client.post(PATH, json=asked).text)
    amounts = {text.partition(":")[2].strip("} ") for text in texts}
    assert amounts
    assert amounts <= {"2640", "3520.5", "0.1", "4400"}


@pytest.mark.parametrize(
    "moment",
    [
        "2018-05-03T00:00:00", "2018-05-03T00:00:00Z", "2018-05-03 00:00", "2018-05-03",
        "2018-05-03T00:00:00.000", "2018-05-03T00:00:00.000000000Z", "2018-05-03t00:00:00z",
        "2018-05-03T02:00:00+02:00", "2018-05-02 19:00:00-05:00", "2018-05-03T05:30:00+0530",
    ],
)  # fmt: skip
def test_timestamps_of_many_kinds_are_read_as_utc(client: httpx.Client, moment: str) -> None:
    for as_of, days in (("2018-07-02T00:00:01Z", 60), ("2018-07-03T00:00:01Z", 61)):
        found = select(client, explain=True, last_order_ts=moment, as_of=as_of)
        assert found["recency_days"] == days


@pytest.mark.parametrize(
    "moment",
    [
        "yesterday", "2018-05-03T00:00:00.123456789Z", "2018-13-03 00:00:00",
        "2018-02-30", "2018-05-03T25:00:00",
        "2018-05-03T00:60:00", "2018-05-03T00:00:61", "2018-05-03_00:00:00", "20180503T000000",
        "03.05.2018", "2018-W18-4", "1525305600", "2018-05-03T00:00:00+99:00", "٢٠١٨-05-03",
        "0000-01-01", "2018-05-03T00:00:00Z'; drop schema release cascade; --", "2018-05-03\0",
        "0001-01-01T00:00:00+10:00", "9999-12-31T23:59:59-10:00", LONG, "2018-05-03T00:00:00" * 50,
        1525305600, 1525305600.5, None, True, [], {}, "NaN", "null",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["last_order_ts", "first_order_ts", "as_of"])
def test_what_is_no_timestamp_is_refused(client: httpx.Client, name: str, moment: Any) -> None:
    if name == "as_of" and moment is None:
        assert select(client, as_of=None) == {"voucher_amount": 2640}
        return
    refused(client, name, body(**{name: moment}))


def refused(client: httpx.Client, name: str, sent: Any, kind: str = "invalid-input") -> None:
    content = sent if isinstance(sent, str) else json.dumps(sent)
    answer = client.post(PATH, content=content, headers={"Content-Type": "application/json"})
    found = problem(answer, 422, kind)
    assert [(error["in"], error["name"]) for error in found["errors"]] == [("body", name)]
    assert len(answer.content) < 2_000


TOMORROW = (datetime.now(UTC) + timedelta(days=1)).isoformat()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("last_order_ts", {"last_order_ts": TOMORROW}),
        ("as_of", {"as_of": TOMORROW}),
        ("last_order_ts", {"as_of": "2018-05-02 23:59:59"}),
        ("first_order_ts", {"first_order_ts": "2018-05-03 00:00:01"}),
        ("first_order_ts", {"first_order_ts": TOMORROW}),
        ("total_orders", {"total_orders": -1}),
        ("total_orders", {"total_orders": 2**31}),
        ("total_orders", {"total_orders": 10**300}),
        ("total_orders", {"total_orders": 2.5}),
        ("total_orders", {"total_orders": True}),
        ("total_orders", {"total_orders": "15.5"}),
        ("total_orders", {"total_orders": "1,500"}),
        ("total_orders", {"total_orders": " "}),
        ("total_orders", {"total_orders": float("nan")}),
        ("total_orders", {"total_orders": float("inf")}),
        ("total_orders", {"total_orders": None}),
        ("country_code", {"country_code": ""}),
        ("country_code", {"country_code": LONG}),
        ("country_code", {"country_code": ["Peru"]}),
        ("country_code", {"country_code": None}),
        ("country_code", {"country_code": "Peru\0"}),
        ("customer_id", {"customer_id": float("nan")}),
        ("customer_id", {"customer_id": ""}),
        ("customer_id", {"customer_id": LONG}),
        ("customer_id", {"customer_id": None}),
        ("customer_id", {"customer_id": [1]}),
        ("segment_name", {"segment_name": None}),
        ("voucher", {"voucher": 1}),
        ("x" * 100, {LONG: 1}),
    ],
)
def test_what_cannot_be_is_refused(
    client: httpx.Client, name: str, changes: dict[str, Any]
) -> None:
    if name == "segment_name":
        refused(client, name, body(**changes), "unknown-segment")
    else:
        refused(client, name, body(**changes))


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_missing_is_named(client: httpx.Client, name: str) -> None:
    refused(client, name, {key: value for key, value in PUBLISHED.items() if key != name})


@pytest.mark.parametrize("name", ["", "country", "recency", "Recency_Segment", LONG, "' or 1=1 --"])
def test_an_unknown_segment_name_is_told_the_known_ones(client: httpx.Client, name: str) -> None:
    found = problem(client.post(PATH, json=body(segment_name=name)), 422, "unknown-segment")
    assert found["errors"][0]["name"] == "segment_name"
    assert "frequency_segment" in found["detail"]
    assert "recency_segment" in found["detail"]


def test_several_faults_are_all_told(client: httpx.Client) -> None:
    asked = body(segment_name="x", total_orders=-1, last_order_ts="x")
    found = problem(client.post(PATH, json=asked), 422, "invalid-input")
    names = {error["name"] for error in found["errors"]}
    assert names == {"segment_name", "total_orders", "last_order_ts"}
    late = body(as_of=TOMORROW, last_order_ts="9999-01-01", first_order_ts="9999-01-02")
    found = problem(client.post(PATH, json=late), 422, "invalid-input")
    names = {error["name"] for error in found["errors"]}
    assert names == {"as_of", "last_order_ts", "first_order_ts"}


def test_hundreds_of_faults_are_not_all_told(client: httpx.Client) -> None:
    answer = client.post(PATH, json=PUBLISHED | {f"field{place}": 1 for place in range(3_000)})
    found = problem(answer, 422, "invalid-input")
    assert len(found["errors"]) == 50
    assert "2999 more" in found["detail"]


@pytest.mark.parametrize(
    "country", ["Atlantis", "Per", "Peru; drop table release.current", "%", "'", "x" * 255]
)
def test_an_unknown_country_is_404(client: httpx.Client, country: str) -> None:
    answer = client.post(PATH, json=body(country_code=country))
    found = problem(answer, 404, "unknown-country")
    assert found["detail"] == (
        f"No voucher was ever assigned there. No country is called {country[:100]!r}; there are: "
        "China, Narnia, Peru, Relandia, São Tomé."
    )
    assert answer.headers["x-pollux-release"] == f"customer-{NUMBER}"


def test_a_country_without_vouchers_is_told_from_an_unknown_one(client: httpx.Client) -> None:
    for country in ("Narnia", "NARNIA"):
        problem(client.post(PATH, json=body(country_code=country)), 404, "no-voucher")


def test_numbers_that_are_one_number_are_one_number(client: httpx.Client) -> None:
    for orders in (15.0, 15, "15", " 15.0 ", "+15", "1.5e1"):
        assert select(client, total_orders=orders) == {"voucher_amount": 2640}
    for customer in (0, -1, 10**30, 123.0, "123", 1.5, "x-9", "é" * 255):
        assert select(client, customer_id=customer) == {"voucher_amount": 2640}


@pytest.mark.parametrize(
    "content",
    ["", " ", "{", "not json", "{'a': 1}", "\ufeff{}", "{}{}", "[" * 60_000, '"\\ud800"',
     '{"total_orders": ' + "9" * 60_000 + "}"],
)  # fmt: skip
def test_what_is_no_json_is_refused(client: httpx.Client, content: str) -> None:
    headers = {"Content-Type": "application/json"}
    answer = client.post(PATH, content=content.encode(), headers=headers)
    assert answer.status_code in {400, 422}
    problem(
        answer, answer.status_code, "not-json" if answer.status_code == 400 else "invalid-input"
    )
    assert len(answer.content) < 5_000


def test_bytes_that_are_no_text_are_refused(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json"}
    for content in (b"\xff\xfe", b'{"country_code": "\xff"}', b"\x00" * 100):
        problem(client.post(PATH, content=content, headers=headers), 400, "not-json")


@pytest.mark.parametrize("sent", [[], [1], "text", 7, None, True, [PUBLISHED]])
def test_json_that_is_no_object_is_refused(client: httpx.Client, sent: Any) -> None:
    refused(client, "", json.dumps(sent))


@pytest.mark.parametrize(
    "media_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "json",
     "application/jsonp", "application/xml", "application/json5; charset=utf-8"],
)  # fmt: skip
def test_another_media_type_is_refused(client: httpx.Client, media_type: str) -> None:
    headers = {"Content-Type": media_type} if media_type else {}
    answer = client.post(PATH, content=json.dumps(PUBLISHED), headers=headers)
    problem(answer, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;q=1"]
)
def test_json_may_have_parameters(client: httpx.Client, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    assert client.post(PATH, content=json.dumps(PUBLISHED), headers=headers).status_code == 200


def test_a_body_may_have_64_kib(client: httpx.Client) -> None:
    text = json.dumps(PUBLISHED)
    headers = {"Content-Type": "application/json"}
    fitting = text + " " * (64 * 1024 - len(text))
    assert client.post(PATH, content=fitting, headers=headers).status_code == 200
    for content in (fitting + " ", "x" * 5_000_000):
        problem(client.post(PATH, content=content, headers=headers), 413, "body-too-large")


def test_a_body_that_does_not_tell_its_size_is_counted(client: httpx.Client) -> None:
    def pieces(count: int) -> Iterator[bytes]:
        yield json.dumps(PUBLISHED).encode()
        for _ in range(count):
            yield b" " * 1024

    headers = {"Content-Type": "application/json"}
    assert client.post(PATH, content=pieces(10), headers=headers).status_code == 200
    problem(client.post(PATH, content=pieces(70), headers=headers), 413, "body-too-large")


@pytest.mark.parametrize("length", ["65537", "99999999", "9" * 15])
def test_a_body_that_says_it_is_too_large_is_not_awaited(client: httpx.Client, length: str) -> None:
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=5) as plain:
        plain.sendall(head.encode())
        assert plain.recv(4096).startswith(b"HTTP/1.1 413 ")


def left_early(client: httpx.Client) -> float:
    name = 'pollux_http_requests_total{route="/v1/vouchers/select",status="400"} '
    _, _, after = client.get("/metrics").text.partition(name)
    return float(after.split()[0]) if after else 0.0


def test_who_leaves_in_the_middle_of_a_body_harms_nobody(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Content-Length: 100\r\n\r\n{"
    )
    counted = left_early(client)
    with socket.create_connection(("127.0.0.1", client.base_url.port or 0), timeout=5) as plain:
        plain.sendall(head.encode())
    wait_until(lambda: left_early(client) > counted, seconds=5)
    assert "failed" not in caplog.text
    assert client.post(PATH, json=PUBLISHED).status_code == 200


@pytest.mark.parametrize("query", ["explain=perhaps", "explain=", "why=true", "explain=true&x=1"])
def test_unknown_parameters_are_refused(client: httpx.Client, query: str) -> None:
    found = problem(client.post(f"{PATH}?{query}", json=PUBLISHED), 422, "invalid-input")
    assert found["errors"][0]["in"] == "query"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_only_post_selects(client: httpx.Client, method: str) -> None:
    answer = client.request(method, PATH)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_selections_follow_releases_and_rollbacks(
    client: httpx.Client, installation: tuple[Settings, ServingStore]
) -> None:
    """The amount of Relandia is the number of the release."""

    def selected() -> tuple[Any, str]:
        answer = client.post(PATH, json=body(country_code="Relandia"))
        return answer.json()["voucher_amount"], answer.headers["x-pollux-release"]

    assert selected() == (NUMBER, f"customer-{NUMBER}")
    with installation[1].connect(autocommit=True) as owner:
        for number in range(NUMBER + 1, NUMBER + 4):
            write_release(owner, number, "customer")
            switch(owner, number, "customer", drop=None if number == NUMBER + 1 else number - 1)
            deadline = time.monotonic() + 1.0
            while time.monotonic() < deadline:
                amount, release = selected()
                assert release == f"customer-{amount}"
            assert selected() == (number, f"customer-{number}")
        switch(owner, NUMBER, "customer", drop=NUMBER + 3)
        within_a_second(time.monotonic(), lambda: selected() == (NUMBER, f"customer-{NUMBER}"))


def test_a_release_without_the_ranking_is_said_to_be_unreadable(
    installation: tuple[Settings, ServingStore],
) -> None:
    with installation[1].connect(autocommit=True) as owner:
        owner.execute(f"alter table customer__r{NUMBER}.voucher_ranking rename to elsewhere")
        try:
            with client_of(create_app(installation[0])) as fresh:
                problem(fresh.post(PATH, json=PUBLISHED), 503, "release-unreadable")
                owner.execute(
                    f"alter table customer__r{NUMBER}.elsewhere rename to voucher_ranking"
                )
                assert fresh.post(PATH, json=PUBLISHED).json() == {"voucher_amount": 2640}
        finally:
            owner.execute(
                f"alter table if exists customer__r{NUMBER}.elsewhere rename to voucher_ranking"
            )


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@hypothesis_settings(
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    changes=st.dictionaries(st.sampled_from([*PUBLISHED, "as_of", "x"]), JSON_VALUES, max_size=3),
    missing=st.sampled_from([*PUBLISHED, None, None, None]),
    explain=st.booleans(),
)
def test_no_body_makes_the_api_fail(
    client: httpx.Client, changes: dict[str, Any], missing: str | None, explain: bool
) -> None:
    sent = body(**changes)
    sent.pop(missing or "", None)
    answer = client.post(
        PATH,
        content=json.dumps(sent),
        params={"explain": explain},
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code in {200, 400, 404, 422}
    if answer.status_code == 200:
        (Explained if explain else Selected).model_validate(answer.json())
    else:
        assert answer.headers["content-type"] == "application/problem+json"
