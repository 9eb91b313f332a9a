"""Live rows from event to answer: what is computed, who sees it, what a switch does with it.

The models are stand-ins (`support`); the real ones have tests of their own.
"""

import threading
from collections.abc import Iterator

import httpx
import psycopg
import pytest

from orchestration.release import live, registry
from orchestration.release.live import LiveRelease
from pollux.runtime import erasures
from pollux.runtime.serving import ServingStore
from pollux.runtime.settings import Settings
from pollux.subjects import Subject
from services.api.app import create_app
from tests.services.api.support import (
    client_of,
    problem,
    wait_until,
    write_release,
)
from tests.services.live.support import BASKETS, MARTS, buy, compute, release

pytestmark = pytest.mark.integration

FRESHNESS, RELEASE = "X-Pollux-Freshness", "X-Pollux-Release"
Installation = tuple[Settings, ServingStore]


@pytest.fixture(scope="module")
def service(store: Installation) -> Iterator[httpx.Client]:
    with client_of(create_app(store[0])) as client:
        yield client


@pytest.fixture
def api(service: httpx.Client, owner: psycopg.Connection, first: int) -> httpx.Client:
    """The API, once it answers from that release."""
    wait_for_release(service, first)
    return service


def shown(api: httpx.Client, household: int = 1, **query: str) -> httpx.Response:
    return api.get(f"/v1/households/{household}", params=query)


def wait_for_release(api: httpx.Client, number: int) -> None:
    wait_until(lambda: shown(api).headers.get(RELEASE) == f"household-{number}", seconds=10)


def wait_for_baskets(api: httpx.Client, baskets: int, household: int = 1) -> httpx.Response:
    wait_until(lambda: shown(api, household).json().get("baskets") == baskets, seconds=10)
    return shown(api, household)


def test_a_purchase_is_answered_live(
    store: Installation, owner: psycopg.Connection, api: httpx.Client, first: int
) -> None:
    before = shown(api)
    buy(owner, 1, 10)
    number = buy(owner, 1, 11)
    compute(*store)
    answer = wait_for_baskets(api, 2)

    found = answer.json()
    assert found["segment"]["why"] == "2 baskets"
    assert found.keys() == before.json().keys()
    assert answer.headers[FRESHNESS].startswith(f"live; event={number}; computed=20")
    assert answer.headers[RELEASE] == f"household-{first}"
    assert answer.headers["ETag"] != before.headers["ETag"]
    # The release is still there for who asks.
    released = shown(api, live="false")
    assert released.content == before.content
    assert FRESHNESS not in released.headers
    # Nobody else is answered otherwise.
    assert FRESHNESS not in shown(api, 2).headers
    assert shown(api, 2).headers["ETag"] == before.headers["ETag"]


def test_a_tag_stands_for_release_and_event(
    store: Installation, owner: psycopg.Connection, api: httpx.Client
) -> None:
    old = shown(api).headers["ETag"]
    buy(owner, 1, 10)
    compute(*store)
    tag = wait_for_baskets(api, 1).headers["ETag"]

    def ask(tag: str) -> httpx.Response:
        return api.get("/v1/households/1", headers={"If-None-Match": tag})

    assert ask(old).status_code == 200
    same = ask(tag)
    assert (same.status_code, same.content, same.headers["ETag"]) == (304, b"", tag)
    assert FRESHNESS in same.headers
    buy(owner, 1, 11)
    compute(*store)
    wait_for_baskets(api, 2)
    assert ask(tag).status_code == 200


def test_who_is_new_is_known_and_who_falls_out_of_scope_is_not(
    store: Installation, owner: psycopg.Connection, api: httpx.Client
) -> None:
    assert shown(api, 4000).status_code == 404
    assert shown(api, 13).status_code == 200
    buy(owner, 4000, 10)
    buy(owner, 13, 11)
    compute(*store)
    wait_for_baskets(api, 1, 4000)
    wait_until(lambda: shown(api, 13).status_code == 404, seconds=10)
    missing = shown(api, 13)
    problem(missing, 404, "unknown-household")
    assert FRESHNESS in missing.headers


def test_a_switch_takes_what_the_release_holds(
    store: Installation, owner: psycopg.Connection, api: httpx.Client, first: int
) -> None:
    held = buy(owner, 1, 10)
    buy(owner, 2, 11)
    compute(*store)
    newer = buy(owner, 2, 12)
    compute(*store)
    assert owner.execute(BASKETS).fetchall() == [(1, 1, first), (2, 2, first)]

    release(owner, store[1], first + 1, newer - 1)
    # Of household 2 a purchase is newer: it is answered as before until it is computed anew.
    assert owner.execute(BASKETS).fetchall() == [(2, 2, first)]
    assert held < newer
    compute(*store)
    assert owner.execute(BASKETS).fetchall() == [(2, 2, first + 1)]
    wait_for_release(api, first + 1)
    assert (shown(api).json()["baskets"], FRESHNESS in shown(api).headers) == (1, False)
    assert shown(api, 2).json()["first_day"] == first + 1

    release(owner, store[1], first, 0, new=False)
    compute(*store)
    assert owner.execute(BASKETS).fetchall() == [(1, 1, first), (2, 2, first)]


def test_a_release_of_an_earlier_version_is_answered_without_live_rows(
    store: Installation, owner: psycopg.Connection, api: httpx.Client, first: int
) -> None:
    buy(owner, 1, 10)
    buy(owner, 2, 11)
    compute(*store)
    wait_for_baskets(api, 1)
    wait_for_baskets(api, 1, 2)
    # It knows nothing of live rows, and an erasure by it takes some away.
    owner.execute("delete from household__live.live_customers where household_key = 2")
    write_release(owner, first + 1)
    registry.switch(owner, "household", first + 1)
    wait_for_release(api, first + 1)
    for household in (1, 2):
        answer = shown(api, household)
        assert answer.headers[RELEASE] == f"household-{first + 1}"
        assert FRESHNESS not in answer.headers


def test_a_customer_of_the_shop_is_answered_live(
    store: Installation, owner: psycopg.Connection, service: httpx.Client
) -> None:
    path = "/v1/store-customers/1"
    before = service.get(path)
    with owner.transaction():
        live.take_over(owner, store[1], "store", 1, LiveRelease(0, ("customer_info",)))
        owner.execute(
            "insert into store__live.customer_info "
            "select * from store__r1.customer_info where customer_id = 1"
        )
        owner.execute("update store__live.customer_info set total_coupons_used = 4711")
        owner.execute(
            "insert into store__live.live_customers (customer_id, number, release, revision) "
            "values (1, 12, 1, nextval('live.revisions')), (2, 12, 1, nextval('live.revisions'))"
        )
        owner.execute("notify live")
    wait_until(lambda: FRESHNESS in service.get(path).headers, seconds=10)
    answer = service.get(path)
    assert answer.json() == before.json() | {"total_coupons_used": 4711}
    assert answer.headers[FRESHNESS].startswith("live; event=12; computed=20")
    assert (before.headers[RELEASE], answer.headers[RELEASE]) == ("store-1", "store-1")
    tag = answer.headers["ETag"]
    assert tag != before.headers["ETag"]
    assert service.get(path, headers={"If-None-Match": tag}).status_code == 304
    released = service.get(path, params={"live": "false"})
    assert (released.content, FRESHNESS in released.headers) == (before.content, False)
    # Of customer 2 nothing counts any more.
    problem(service.get("/v1/store-customers/2"), 404, "unknown-store-customer")
    assert FRESHNESS not in service.get("/v1/store-customers/3").headers
    owner.execute("drop schema store__live cascade; delete from live.followed")
    wait_until(lambda: service.get(path).content == before.content, seconds=10)


def test_an_api_that_has_just_started_shows_what_another_has_shown(
    store: Installation, owner: psycopg.Connection, api: httpx.Client
) -> None:
    buy(owner, 1, 10)
    compute(*store)
    wait_for_baskets(api, 1)
    for _ in range(5):
        with client_of(create_app(store[0])) as started:
            assert FRESHNESS in shown(started).headers


def test_tables_follow_the_columns_of_the_release(
    store: Installation, owner: psycopg.Connection, first: int
) -> None:
    buy(owner, 1, 10)
    compute(*store)
    owner.execute("alter table household__live.household_rfm drop column rfm_bins")
    release(owner, store[1], first + 1, 0)
    compute(*store)
    columns = "select count(rfm_bins), count(*) from household__live.household_rfm"
    assert owner.execute(columns).fetchone() == (0, 1)
    # A release that knows nothing of it is answered as ever.
    release(owner, store[1], first + 2, 0, marts=())
    assert owner.execute("select * from live.followed").fetchall() == []
    assert owner.execute("select to_regclass('household__live.household_rfm')").fetchone() == (
        None,
    )
    compute(*store)


def test_nobody_erased_is_computed_or_answered(
    store: Installation, owner: psycopg.Connection, api: httpx.Client
) -> None:
    buy(owner, 1, 10)
    buy(owner, 4000, 11)
    compute(*store)
    wait_for_baskets(api, 1, 4000)
    with store[1].connect() as connection:
        for household in ("1", "4000"):
            erased = erasures.erase(connection, Subject("household", household))
            assert erased.rows["household__live.household_rfm"] == 1
            assert erased.rows["household__live.live_customers"] == 1
    for household in (1, 4000):
        wait_until(lambda h=household: shown(api, h).status_code == 404, seconds=1)
    # An event that was read before, and is written only now.
    owner.execute(
        "insert into events.basket_lines (event_key, line, household_key, basket_id, day, "
        "product_id, quantity, sales_value) values (gen_random_uuid(), 1, 1, 12, 720, 1, 1, 1)"
    )
    compute(*store)
    assert owner.execute(BASKETS).fetchall() == []
    assert shown(api).status_code == 404


def test_an_answer_never_loses_a_purchase_that_it_has_shown(
    store: Installation, owner: psycopg.Connection, api: httpx.Client, first: int
) -> None:
    buy(owner, 1, 0)
    compute(*store)
    wait_for_baskets(api, 1)
    seen: list[int] = []
    switched = threading.Event()

    def look() -> None:
        while not switched.is_set():
            seen.append(shown(api).json()["baskets"])

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for turn in range(8):
            number = buy(owner, 1, 100 + turn)
            compute(*store)
            wait_for_baskets(api, turn + 2)
            # Every other release holds the purchase.
            release(owner, store[1], first + 1 + turn, number - turn % 2)
            compute(*store)
    finally:
        switched.set()
        reader.join()
    assert seen == sorted(seen)
    assert seen[-1] >= 8


def test_reader_and_event_service_have_the_rights_that_they_need(
    store: Installation, owner: psycopg.Connection
) -> None:
    for table in ("live.followed", *(f"household__live.{mart}" for mart in MARTS)):
        for role, may in ((store[1].reader_role, False), (store[1].events_role, True)):
            for right, has in (("select", True), ("insert", may), ("delete", may)):
                ((found,),) = owner.execute(
                    "select has_table_privilege(%s, %s, %s)", [role, table, right]
                ).fetchall()
                assert found is has, (table, role, right)


def test_the_number_of_customers_who_are_answered_live(
    store: Installation, owner: psycopg.Connection, api: httpx.Client, first: int
) -> None:
    def counts() -> dict[str, int]:
        answer = api.get("/v1/live")
        assert answer.headers["cache-control"] == "no-store"
        return {one["domain"]: one["customers"] for one in answer.json()["data"]}

    assert counts() == {"household": 0, "store": 0}
    for household in (1, 2, 1):
        last = buy(owner, household, household)
    compute(*store)
    wait_until(lambda: counts() == {"household": 2, "store": 0}, seconds=10)
    # A release that has their purchases leaves nobody.
    release(owner, store[1], first + 1, last)
    wait_until(lambda: counts() == {"household": 0, "store": 0}, seconds=10)
    refused = problem(api.get("/v1/live", params={"limit": "3"}), 422, "invalid-input")
    assert "limit" in refused["detail"]


def test_rows_that_did_not_change_are_not_written_again(
    store: Installation, owner: psycopg.Connection
) -> None:
    # Which transaction wrote them.
    rows = "select household_key, baskets, xmin::text from household__live.household_rfm order by 1"
    buy(owner, 1, 10)
    buy(owner, 2, 11)
    compute(*store)
    before = owner.execute(rows).fetchall()
    # The same basket again: its household's rows are computed, and are what they were.
    number = buy(owner, 1, 10)
    compute(*store)
    assert owner.execute(rows).fetchall() == before
    noted = "select number from household__live.live_customers where household_key = 1"
    assert owner.execute(noted).fetchone() == (number,)

    buy(owner, 1, 12)
    compute(*store)
    after = owner.execute(rows).fetchall()
    assert [row[:2] for row in after] == [(1, 2), (2, 1)]
    assert after[0][2] != before[0][2]
    assert after[1] == before[1]


def test_who_is_new_has_no_summary_for_one_of_two_reasons(
    store: Installation, owner: psycopg.Connection, api: httpx.Client, first: int
) -> None:
    release(owner, store[1], first + 1, 0, (*MARTS, "hh_summary"))
    buy(owner, 4001, 10)
    buy(owner, 4002, 11)
    compute(*store)
    owner.execute(
        "update household__live.household_rfm set has_demographics = true "
        "where household_key = 4002"
    )
    for household, kind in ((4001, "no-demographics"), (4002, "no-summary-yet")):
        wait_for_baskets(api, 1, household)
        answer = api.get(f"/v1/households/{household}/summary")
        found = problem(answer, 404, kind)
        assert f"/v1/households/{household}." in found["detail"]
        assert FRESHNESS in answer.headers


LISTS = {
    "daily-spend": ("daily_hh_spend", "day"),
    "weekly-sales": ("household_weekly_sales", "week_no"),
    "segments": ("household_segment_history", "period_end"),
    "recommendations": ("product_recommendations", "rank"),
}


@pytest.fixture
def lists(
    store: Installation, owner: psycopg.Connection, api: httpx.Client, first: int
) -> httpx.Client:
    """The API, where household 1 has other lists than in the release, and 2 has none."""
    marts = tuple(mart for mart, _ in LISTS.values())
    release(owner, store[1], first + 1, 0, (*MARTS, *marts))
    wait_for_release(api, first + 1)
    for path in LISTS:
        for household in (1, 2):
            # Kept in memory, until there is something newer.
            assert api.get(f"/v1/households/{household}/{path}").status_code == 200
    for household in (1, 2):
        buy(owner, household, household)
    compute(*store)
    for mart, column in LISTS.values():
        owner.execute(
            f"insert into household__live.{mart} "
            f"select * from household__r{first + 1}.{mart} where household_key = 1"
        )
        owner.execute(f"update household__live.{mart} set {column} = {column} + 1000")
    wait_for_baskets(api, 1)
    wait_for_baskets(api, 1, 2)
    return api


@pytest.mark.parametrize("path", LISTS)
def test_a_households_lists_are_answered_live(lists: httpx.Client, path: str) -> None:
    column = LISTS[path][1]
    url = f"/v1/households/1/{path}"
    answer, released = lists.get(url), lists.get(url, params={"live": "false"})
    assert FRESHNESS in answer.headers
    assert FRESHNESS not in released.headers
    rows = [row | {column: row[column] + 1000} for row in released.json()["data"]]
    assert len(rows) > 1
    assert answer.json()["data"] == rows
    # Page by page, with a count, a field, and the tag.
    size = {"k" if path == "recommendations" else "limit": 1, "fields": column, "count": "true"}
    page = lists.get(url, params=size).json()
    assert page["data"] == [{column: rows[0][column]}]
    assert page["count"] >= len(rows)
    following = lists.get(url, params=size | {"next": page["next"]}).json()
    assert following["data"] == [{column: rows[1][column]}]
    tag = answer.headers["ETag"]
    assert lists.get(url, headers={"If-None-Match": tag}).status_code == 304
    # Whole, as CSV and as NDJSON.
    for kind, lines in (("text/csv", 1), ("application/x-ndjson", 0)):
        whole = lists.get(url, headers={"Accept": kind})
        assert FRESHNESS in whole.headers
        assert whole.headers["ETag"] != tag
        assert len(whole.text.splitlines()) == page["count"] + lines
        assert str(rows[-1][column]) in whole.text
        same = lists.get(url, headers={"Accept": kind, "If-None-Match": whole.headers["ETag"]})
        assert same.status_code == 304
        others = lists.get(url, headers={"Accept": kind}, params={"live": "false"})
        assert FRESHNESS not in others.headers
        assert str(rows[-1][column]) not in others.text


@pytest.mark.parametrize("path", LISTS)
def test_an_empty_live_list_is_told_from_an_unknown_household(
    lists: httpx.Client, owner: psycopg.Connection, path: str
) -> None:
    for kind in ("application/json", "text/csv"):
        answer = lists.get(f"/v1/households/2/{path}", headers={"Accept": kind})
        assert FRESHNESS in answer.headers
        if path == "recommendations":
            problem(answer, 404, "unknown-household")
        elif kind == "text/csv":
            assert len(answer.text.splitlines()) == 1
        else:
            assert answer.json()["data"] == []
    owner.execute("delete from household__live.household_rfm where household_key = 2")
    if path != "recommendations":
        for kind in ("application/json", "text/csv"):
            answer = lists.get(f"/v1/households/2/{path}", headers={"Accept": kind})
            problem(answer, 404, "unknown-household")
            assert FRESHNESS in answer.headers
